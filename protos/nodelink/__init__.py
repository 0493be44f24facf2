"""What node and gateway agreed on beyond the RFCs and OMA documents.

Admission rule: a thing belongs here only if both ends of the node link must hold the same value
and no RFC or OMA document already fixes it. Nothing here imports anything of ours, and everything
runs on MicroPython and on CPython.
"""

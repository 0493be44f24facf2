"""Instruments of a rig: labgrid drivers and what they stand on.

Scenarios are in the test modules beside this folder, states of a board in `strategies`.
"""

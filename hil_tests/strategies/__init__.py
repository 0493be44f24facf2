"""Strategies: how a board of the rig is brought into a state.

What they drive is in `instruments`.
"""

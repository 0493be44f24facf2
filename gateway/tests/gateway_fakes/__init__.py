"""Fakes of the gateway's surroundings, shared by its tests."""

"""Virtual ESP32 boards: flash, ROM, console and MicroPython, with models in place of peripherals.

What the nodes on them run is in firmware/; this package only gives them a body.
"""

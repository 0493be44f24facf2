"""What lies in an ESP32's flash: partitions, boot selection, images, NVS and LittleFS.

Formats only, over bytes; running them is `virtual_board`, putting them on a chip is `flashing`.
"""

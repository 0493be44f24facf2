"""CoAP, OSCORE and LwM2M towards the nodes."""

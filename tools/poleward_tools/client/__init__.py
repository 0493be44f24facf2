"""The command line's connection to the fleet; the only tools code that knows generated messages."""

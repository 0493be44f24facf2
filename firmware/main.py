"""Starts the application of the slot that boot.py chose.

Not replaced over the air, so it knows one name of the application only.
"""

import node.app

node.app.run()

"""Object 0, LwM2M Security: which server, under which keys. Written by bootstrap only.

Nothing of it can be read back; what it said lives in `node.lwm2m.account`.
"""

ID = 0
TABLE = {0: "s", 1: "b", 2: "i", 3: "o", 4: "o", 5: "o", 10: "i", 17: "l"}

SERVER_URI = 0
IS_BOOTSTRAP = 1
SHORT_SERVER_ID = 10
OSCORE_LINK = 17

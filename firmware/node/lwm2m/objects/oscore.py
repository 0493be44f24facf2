"""Object 21, LwM2M OSCORE 2.0: the keys of a security context. Written by bootstrap only.

Nothing of it can be read back; what it said lives in `node.lwm2m.account`.
"""

ID = 21
TABLE = {0: "o", 1: "o", 2: "o", 5: "o"}

MASTER_SECRET = 0
SENDER_ID = 1
RECIPIENT_ID = 2
MASTER_SALT = 5

"""Sizes, times and counts that node and gateway must agree on.

Public constants cost a node about 45 bytes of heap each, so only what the node reads is here.
"""

REPORT_MAX_BYTES = 450  # SenML payload of one report; fits one NB-IoT transport block with headers
BLOCK_SZX_LAN = 6  # RFC 7959, 2.2: 2 ** (6 + 4) = 1024 bytes
BLOCK_SZX_NBIOT = 4  # 256 bytes
LIFETIME_S = 300  # registration lifetime, /1/x/1
QUEUE_WINDOW_S = 93  # OMA LwM2M TS Core 1.1, 6.5: MAX_TRANSMIT_WAIT of RFC 7252, 4.8.2
SSN_STEP = 64  # RFC 8613, B.1.1: sequence numbers reserved with one write to flash
REPLAY_WINDOW = 32  # RFC 8613, 3.2.2
COMMAND_DEADLINE_S = 30  # an actuator command without a deadline of its own is dropped after this
URGENT_TOKEN_BYTES = 8  # token length of an event: the gateway's kernel lets it past reports
ENVELOPE_MAX_BYTES = 4096  # signed manifest without payloads
TRUST_MAX_BYTES = 1024  # what a trust document says, without its signatures; a blob in NVS
BUNDLE_MAX_BYTES = 384 * 1024  # unpacked; two slots and the report log share a 960 KiB file system

"""Identifiers that bind a release to a kind of board, and names of what it carries.

The envelope itself is draft-ietf-suit-manifest; how it is encoded is in docs/ota.md.
"""

# RFC 9562, 5.5: vendor = uuid5(DNS, "poleward.example"), class = uuid5(vendor, board profile).
VENDOR_ID = bytes.fromhex("4c838a5b425d56108025af687b39d879")
CLASS_IDS = {
    "pole-basic": bytes.fromhex("8d2bc3fb24f85e0383bdd1ee54775750"),
}

COMPONENT_BUNDLE = b"bundle"
COMPONENT_IMAGE = b"image"

# Where a node fetches things from its gateway: coap path segments.
PATH_RELEASES = "r"  # r/<envelope digest, hex>
PATH_TRUST = "t"  # t/<number of a trust document>
PATH_DIRECTIVE = "o"  # the directive for the node that asks
PATH_ARTIFACTS = "a"  # a/<encoding>/<component digest, hex>
ENCODING_PATCH = "p"  # a/p/<component digest>/<sequence of the release to patch>, as in docs/ota.md
ENCODING_DEFLATE = "d"  # raw DEFLATE (RFC 1951), window of 2 ** DEFLATE_WBITS
DEFLATE_WBITS = 12
IMAGE_PIECE_BYTES = 64 * 1024  # an image travels in such pieces, a/d/<digest>/<number from 0>

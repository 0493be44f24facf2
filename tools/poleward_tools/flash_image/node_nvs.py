"""What a node's NVS holds when it leaves the factory: identity, trust anchors, settings, counters.

The one place that knows the factory's namespaces and keys; the partition itself is `nvs`.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from poleward_tools.flash_image.errors import TrustError
from poleward_tools.flash_image.nvs import Integer, Value
from poleward_tools.flash_image.nvs_page import ItemType

PROFILE = "pole-basic"
# What a board has and how it reaches its gateway: texts by namespace and key.
Settings = Mapping[str, Mapping[str, str]]
SETTING_NAMESPACES = ("board", "network")
MAX_SETTING_BYTES = 64  # node.board.parts reads no more
NO_SETTINGS: Settings = {}
# Blobs of identity and settings that are texts and may be on a screen; "mac" may, too.
PLAIN_TEXTS = frozenset({"profile", "gateway", "parts", "ssid", "apn"})
BOOT = "boot"  # namespace that the node itself writes from its first boot on
TRUST = "trust"  # key that it writes when it follows a newer document
NvsValues = Mapping[str, Mapping[str, Value]]

_CLAIM_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # no 0 O 1 I: people type it
_CLAIM_CHARACTERS = 16  # 5 bits each


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """What the flashing station gives a node, and the claim code for its label.

    Args:
        mac: EUI-48, 6 bytes.
        bootstrap_secret: OSCORE Master Secret for bootstrap, 16 bytes.
        bootstrap_salt: OSCORE Master Salt for bootstrap, 8 bytes.
        claim_code: on the label; the node does not know it.
        profile: board profile.
    """

    mac: bytes
    bootstrap_secret: bytes = field(repr=False)
    bootstrap_salt: bytes = field(repr=False)
    claim_code: str = field(repr=False)
    profile: str = PROFILE

    @property
    def name(self) -> str:
        """The MAC in hexadecimal."""
        return self.mac.hex()


def new_identity(mac: bytes) -> NodeIdentity:
    """Make an identity with fresh secrets from the operating system."""
    return NodeIdentity(
        mac=mac,
        bootstrap_secret=secrets.token_bytes(16),
        bootstrap_salt=secrets.token_bytes(8),
        claim_code="".join(secrets.choice(_CLAIM_ALPHABET) for _ in range(_CLAIM_CHARACTERS)),
    )


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom a node trusts from its first boot on.

    Args:
        gateway_uri: where it bootstraps, e.g. "coap://192.168.4.1:5683".
        release_keys: public keys that may sign releases, Ed25519 or HSS-LMS.
        threshold: how many of them must have signed a release.
        document: payload of the trust document that names them; empty for none.

    Raises:
        TrustError: the threshold can never be reached, or asks for nobody.
    """

    gateway_uri: str
    release_keys: tuple[bytes, ...]
    threshold: int = 1
    document: bytes = b""

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= len(set(self.release_keys)):
            raise TrustError(
                f"{self.threshold} signatures cannot come from "
                f"{len(set(self.release_keys))} different release keys"
            )


def factory_values(
    identity: NodeIdentity, trust: Trust, settings: Settings = NO_SETTINGS
) -> NvsValues:
    """Return the values of a node that never ran, by namespace and key."""
    return {
        "identity": {
            "mac": identity.mac,
            "bs_secret": identity.bootstrap_secret,
            "bs_salt": identity.bootstrap_salt,
            "profile": identity.profile.encode(),
            "gateway": trust.gateway_uri.encode(),
            "relkeys": b"".join(trust.release_keys),
            "threshold": Integer(ItemType.I32, trust.threshold),
            **({TRUST: trust.document} if trust.document else {}),
        },
        **{
            namespace: {key: text.encode() for key, text in texts.items()}
            for namespace, texts in settings.items()
        },
        BOOT: {
            key: Integer(ItemType.I32, number)
            for key, number in (("slot", 0), ("tries", 0), ("confirmed", 1), ("count", 0))
        },
    }

"""Errors of the gateway: one root, each with what failed and what to do next.

Expected outcomes (a duplicate report, a silent node, an expired command) are values, not errors.
"""


class GatewayError(Exception):
    """Root of everything the gateway raises on purpose."""


class ConfigurationError(GatewayError):
    """What the gateway was told cannot work; correct it and start again."""


class NotEnrolledError(ConfigurationError):
    """The gateway has no certificate; enrol it first."""


class PeerUnreachableError(GatewayError):
    """The fleet does not answer; check the address and the network, then try again."""


class RefusedError(GatewayError):
    """The fleet answered and said no; the message says why."""


class NodeError(GatewayError):
    """Root of what can go wrong between the gateway and one node."""


class NodeUnreachableError(NodeError):
    """The node did not answer in time, or is not registered; try again when it is heard."""


class NodeRefusedError(NodeError):
    """The node answered with an error.

    Args:
        message: What was asked and what the node said.
        code: CoAP response code as text, e.g. "4.03".
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class ArtifactError(GatewayError):
    """Root of what can go wrong with release content."""


class ArtifactUnavailableError(ArtifactError):
    """The content cannot be had now; try again later."""


class ArtifactDamagedError(ArtifactError):
    """The fleet's copy is altered or gone; publish the release again, then try again."""


class ArtifactRejectedError(ArtifactError):
    """The content is not what it claims to be and is never served."""


class DirectiveStaleError(ArtifactError):
    """The directive does not hold now; a fresh one may."""


class InstallationError(GatewayError):
    """A release of the gateway itself cannot be installed here; the message says what to do."""


class StorageError(GatewayError):
    """The disk does not take what must be durable; nothing was acknowledged. Check the disk."""

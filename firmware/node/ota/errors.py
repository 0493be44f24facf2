"""The errors of an update: what 5/0/5 shows and why, and what a fetch may say.

Not for anything outside `node.ota` to raise, except a fetch.
"""


class UpdateError(Exception):
    """An update cannot go on.

    `result` is the value for 5/0/5 (`nodelink.firmware_update`), `reason` the text for 26243/0/3.
    """

    def __init__(self, result: int, reason: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason


class FetchRefused(Exception):  # noqa: N818 - it names what happened
    """The gateway does not serve what was asked for; `args[0]` tells whether it soon will."""

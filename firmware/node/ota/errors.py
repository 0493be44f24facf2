"""The one error of an update: what 5/0/5 shows and why.

Not for anything outside `node.ota` to raise, except a fetch that wants to name its own result.
"""


class UpdateError(Exception):
    """An update cannot go on.

    `result` is the value for 5/0/5 (`nodelink.firmware_update`), `reason` the text for 26243/0/3.
    """

    def __init__(self, result: int, reason: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason

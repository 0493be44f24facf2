"""What the programs' exit codes mean, and which error leads to which.

It prints nothing.
"""

from poleward_tools.client import ClientError, Failure

OK = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
REFUSED = 4

_BY_FAILURE = {
    Failure.FAILED: FAILED,
    Failure.USAGE: USAGE,
    Failure.UNREACHABLE: UNREACHABLE,
    Failure.REFUSED: REFUSED,
}


class CommandError(Exception):
    """A command ends here, with a message for the person and an exit code for the script."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def exit_code_of(error: Exception) -> int:
    """Choose the exit code of an error; FAILED for one that nobody foresaw."""
    if isinstance(error, CommandError):
        return error.exit_code
    if isinstance(error, ClientError):
        return _BY_FAILURE[error.failure]
    return FAILED

"""Catches the error a test waits for, where there is no pytest.

Not an assertion by itself: the test looks at what comes back.
"""

from node.ota.errors import UpdateError


def refusal_of(action, *arguments):
    """Call `action` and give the UpdateError it raises; AssertionError when it raises none."""
    try:
        action(*arguments)
    except UpdateError as error:
        return error
    raise AssertionError("not refused")

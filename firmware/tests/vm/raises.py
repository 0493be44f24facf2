"""Asserts that a call raises, where pytest is not: on both Pythons."""


def raised(kind, call, *arguments, **keywords):
    """Return the exception of class `kind` that the call raises."""
    try:
        call(*arguments, **keywords)
    except kind as error:
        return error
    raise AssertionError((kind, arguments, keywords))

"""The errors that a user of the library or of the command line can cause, and mend."""


class InputError(ValueError):
    """A name, value, file or folder is not what it has to be; the message says what is allowed.

    The command line prints the message as one line and ends with exit status 2.
    """


class DataError(InputError):
    """A data set is missing, unreadable or damaged; the message names the file or folder."""


def first_line(error: BaseException) -> str:
    """The first line of what ``error`` says, or its class where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]

"""Who runs this: the library asks for the name, although it is told by which one to log in."""

import getpass
import os


def ensure_name() -> None:
    """Where the system knows none, the user's number is it: LOGNAME has it from now on.

    So it is in a container that is started with `-u 1234`.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):  # from Python 3.13 on it is the latter
        os.environ["LOGNAME"] = str(os.getuid())

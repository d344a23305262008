"""What the lab's programs say in one sentence and end with."""


class LabError(Exception):
    """The lab cannot do this, or not on this machine; the message is for the user.

    The base of all the lab's own exceptions: who only tells of a failure catches this one.
    """

"""The errors that a person is meant to read: what is wrong, the rule, and the remedy, in one message."""


class MoclipError(Exception):
    """Base of all refusals; a stage prints its message without a traceback and exits with 1."""


class ParamsError(MoclipError):
    """A parameter is unknown, missing, of the wrong type or out of range."""


class DataError(MoclipError):
    """Lists, class index, manifest and files on disk do not agree."""


class VideoError(MoclipError):
    """A video cannot be opened, decoded, or has no motion vectors to give."""


class StoreError(MoclipError):
    """A store of features or motion is torn, foreign, or lacks an entry that was asked for."""

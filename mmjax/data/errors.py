"""The two ways in which data from outside can fail, each told in one sentence."""


class DataError(ValueError):
    """A file is not what it should be. The message names the file and what is wrong with it."""


class DownloadError(RuntimeError):
    """A file could not be fetched. The message says from where, why, and what to do instead."""

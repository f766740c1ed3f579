"""The errors that a caller must tell apart; each is a built-in type too.

Every message is one line a user can act on: what is wrong, where, what to do.
"""


class ConfigError(ValueError):
    """A setting, argument or dictionary that can't be used; nothing was written."""


class InputError(ValueError):
    """An input file that can't be converted whole; it is left out and named."""


class DatasetError(ValueError):
    """An HDF5 file that is not an image_extractor dataset, or does not fit what is asked of it."""

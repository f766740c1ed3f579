"""What a damaged file makes the parsers raise, in the words of a user."""

import re
import struct

from eventio.exceptions import WrongType

from ...errors import ConfigError, InputError, one_line
from .foreign_files import version_words

#: How eventio says which versions of an object it reads.
VERSION_REFUSED = re.compile(r"Unsupported version of (?P<object>\w+):(?P<known>.*?)(,| ) ?got:? (?P<given>\d+)")

NUMBER = re.compile(r"\d+")


class reading:  # noqa: N801 - used as a with statement's verb
    """Turn whatever a damaged file makes the parsers raise into one InputError that names the file."""

    def __init__(self, path):
        self._path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, err, traceback):
        if err is None or isinstance(err, InputError | ConfigError) or not isinstance(err, Exception):
            return False
        raise InputError(f"{self._path}: {_what_is_wrong(err)}") from err


def _what_is_wrong(err):
    """Say in the words of a user what a parser's exception means."""
    if isinstance(err, StopIteration | EOFError | struct.error):
        return "damaged: a block of it holds less than it says"
    if version := VERSION_REFUSED.search(str(err)):
        known = [int(number) for number in NUMBER.findall(version["known"])]
        return version_words(version["object"], int(version["given"]), known)
    if isinstance(err, UnicodeError):
        return "damaged: what must be text in it is none"
    if isinstance(err, KeyError | IndexError):
        return "damaged or incomplete: something that others of its blocks refer to is not there"
    if isinstance(err, AttributeError | TypeError | AssertionError | WrongType) or not str(err):
        return "damaged or incomplete: its blocks do not belong together"
    return f"damaged or incomplete: {one_line(err)}"

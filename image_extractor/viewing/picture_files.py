"""Files of pictures: what they show stands in them, so that nothing else is ever overwritten."""

import io
import itertools
import json
import os
import re
import struct
from pathlib import Path

from .. import whole_files
from ..errors import ConfigError

#: The keyword under which a PNG file says what it shows, and the bytes at most that are read of it.
KEYWORD, MAX_BYTES = b"Source", 1 << 20
PNG = b"\x89PNG\r\n\x1a\n"
#: Bytes of the inputs' name that a picture's name takes over: file systems have room for 255.
NAME_BYTES = 150


def name_of(paths):
    """Return the beginning of a picture's name from its inputs: what their names have in common, without suffixes."""
    stems = [re.sub(r"(\.(simtel|gz|zst|h5|hdf5|hdf))+$", "", Path(path).name) for path in paths]
    common = re.sub(r"[-_.]?\d*$", "", _common_beginning(stems)) if len(stems) > 1 else ""
    return os.fsdecode(os.fsencode(common or stems[0])[:NAME_BYTES])


def _common_beginning(texts):
    first, last = min(texts), max(texts)
    return first[: next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]


def write(figure, path, shows, is_chosen):
    """Write a figure to a PNG file.

    Parameters
    ----------
    figure : matplotlib Figure
    path : Path
    shows : dict
        Plain values that say what it shows. A picture of the same is replaced.
    is_chosen : bool
        The user chose this name; else _2, _3, ... is added to one that shows something else.

    Returns
    -------
    Path
        Of the picture.

    Raises
    ------
    ConfigError
        If a file of the chosen name is there, and is no picture of the same.
    """
    from .pictures import save

    source, buffer = json.dumps(shows, sort_keys=True), io.BytesIO()
    save(figure, buffer, {KEYWORD.decode(): source})
    others = (path.with_name(f"{path.stem}_{number}{path.suffix}") for number in itertools.count(2))
    for candidate in [path] if is_chosen else itertools.chain([path], others):
        if _put(candidate, buffer.getvalue(), source):
            return candidate
    raise ConfigError(f"{path}: is there and is not this picture: choose another --output")


def _put(path, data, source):
    """Write data to a new file, or to one that shows the same; say whether that could be."""
    try:
        whole_files.write_new(path, data)
    except FileExistsError:
        if _source(path) != source:
            return False
        whole_files.write(path, data)
    return True


def _source(path):
    """Return what a PNG file says that it shows; None if it says nothing, or is none."""
    try:
        with path.open("rb") as file:
            kind = file.read(len(PNG)) == PNG
            while kind and kind != b"IDAT":
                size, kind = struct.unpack(">I4s", file.read(8))
                data = file.read(size) if kind == b"tEXt" and size <= MAX_BYTES else file.seek(size, os.SEEK_CUR)
                if kind == b"tEXt" and size <= MAX_BYTES and data.startswith(KEYWORD + b"\0"):
                    return data[len(KEYWORD) + 1 :].decode("latin-1")
                file.seek(4, os.SEEK_CUR)  # its checksum
    except (OSError, struct.error):  # unreadable, or cut
        pass
    return None

"""Files of events of either kind, told by their content."""

from pathlib import Path

from ..errors import InputError
from ..input_files import is_hdf5, why_no_file
from .ctapipe_events import CtapipeFile
from .simtel_events import SimtelFile


def open_events(path, settings, on_truncated="refuse", columns=(), needs_images=True):
    """Return a file whose `runs(progress)` give blocks of events: a SimtelFile, or a CtapipeFile.

    Parameters
    ----------
    path : Path
    settings : dict
    on_truncated : 'refuse' or 'keep'
        Of simtel files.
    columns : iterable of str
        What ctapipe wrote of events that blocks are to have.
    needs_images : bool
        Whether blocks are to have images.

    Raises
    ------
    InputError
        If there is no file, or one that has no such columns.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {why_no_file(path)}")
    if is_hdf5(path):
        return CtapipeFile(path, settings, columns, needs_images)
    if columns:
        raise InputError(f"{path}: a simtel file has no {', '.join(columns)}: ctapipe's HDF5 files may have")
    return SimtelFile(path, settings, on_truncated)

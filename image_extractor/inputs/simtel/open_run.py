"""Opening simtel files, and the runs in them one after the other."""

import functools
import logging
import warnings
from pathlib import Path

from ...errors import ConfigError, CutError
from ...input_files import check_readable
from ...tested_versions import untested
from ..unchanged import check_unchanged, identity
from .foreign_files import refuse_foreign
from .reading_errors import reading
from .run_objects import RunObjects
from .simtel_run import SimTelRun
from .top_objects import TopObjects

log = logging.getLogger(__name__)


class SimTelRuns:
    """The runs of a file, one after the other; a context manager that closes it at the end.

    Iterating gives :class:`SimTelRun`; each is to be read before the next is asked for, which passes over what is
    left of it.
    """

    def __init__(self, path, fast, on_truncated):
        self.path = path
        self._class, self._keeps = run_class(fast), on_truncated == "keep"
        self._identity = identity(path)
        self._objects = TopObjects(path)
        self._given = self._next = None
        try:
            self._next = self._open_next()
        finally:
            if self._next is None:
                self.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __iter__(self):
        while self._next is not None:
            run = self._given = self._next
            self._next = None
            yield run
            with reading(self.path):
                if run.objects.another_follows():
                    self._next = self._open_further()
            run.objects.let_go()

    def _open_further(self):
        try:
            return self._open_next()
        except CutError as err:
            if not self._keeps:
                raise
            log.warning("%s, which is not the first one: nothing of it is kept", err)
            return None

    def _open_next(self):
        objects = RunObjects(self._objects, self._class.kinds, self._keeps)
        with reading(self.path), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = self._class.file_class(self.path, objects)
            objects.begin_events()
            objects.current_shower = lambda: file.current_mc_shower
            try:
                return self._class(self.path, file, self._identity)
            except RuntimeError:
                run = self._class(self.path, file, self._identity, focal_length_choice="EQUIVALENT")
                log.info("%s: no effective focal length, the equivalent one is used", self.path)
                return run

    def check_unchanged(self):
        """Raise InputError if the file was changed or replaced while it was read."""
        check_unchanged(self.path, self._identity)

    def close(self):
        """Close the file."""
        self._objects.close()
        for run in filter(None, (self._given, self._next)):
            run.objects.let_go()


def open_runs(path, fast=False, on_truncated="refuse"):
    """Open a simtel file, which may hold several runs.

    Parameters
    ----------
    path : str or Path
    fast : bool
        Read it the fast way, if that was made for the installed ctapipe and eventio; see fast_run.py.
    on_truncated : 'refuse' or 'keep'
        Whether a file that is cut is an error, or gives the events that are whole before the cut, with a warning;
        then its run is not `complete`.

    Returns
    -------
    SimTelRuns
        Old files have no effective focal length: they are opened with the equivalent one, which is logged.

    Raises
    ------
    InputError
        If the file is not there, is no simtel file, or its header can't be read.
    """
    path = Path(path)
    check_readable(path)
    with reading(path):
        refuse_foreign(path)
    return SimTelRuns(path, fast, on_truncated)


def open_run(path, fast=False):
    """Open a simtel file of one run, see :func:`open_runs`.

    Returns
    -------
    SimTelRun
        The first run. It closes the file; its :meth:`SimTelRun.check_end` refuses one with a further run.
    """
    run = next(iter(open_runs(path, fast)))
    run.is_alone = True
    return run


@functools.cache
def run_class(fast):
    """Return the class of runs: FastRun, if it is wanted and was made for what is installed, or SimTelRun."""
    if not fast or untested("ctapipe", "eventio"):
        return SimTelRun
    try:
        from .fast_run import FastRun
    except (ImportError, AttributeError, ConfigError) as err:
        log.warning("the fast reader is not used: what it relies on is gone: %s", err)
        return SimTelRun
    return FastRun

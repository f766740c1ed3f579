"""Many files to lookup tables, or to a dictionary: parts, resume, and what becomes of each file, as in conversions."""

import json
import logging
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import DatasetError, InputError
from ..hdf5 import provenance
from ..hdf5.dataset_files import damage, open_file
from ..workers.crew import Crew
from .many_files import Progress, convert_all, once
from .parts_folder import hold_parts_folder

log = logging.getLogger(__name__)

#: What workers import.
MODULES = ("image_extractor.analysis.open_events", "ctapipe.calib")


@dataclass(frozen=True)
class AnalysisTask:
    """One file to analyse; `name` is the file as the user gave it."""

    name: str
    file: Path
    target: Path

    def absolute(self):
        """Return it for a worker, which has a working directory of its own."""
        return replace(self, file=self.file.absolute(), target=self.target.absolute())


def analyse(tool, task, progress=None):
    """Make the part of a file, unless a good one is there; returns an outcome as `many_files.Report` has it."""
    result = {"file": task.name}
    try:
        fingerprint = _fingerprint(tool, task)
        finished = _finished(task.target, fingerprint)
        if finished:
            for line in finished.pop("warnings", ()):
                log.warning("%s", line)
            return result | finished | {"resumed": True}
        return result | tool.analyse(task.file, task.target, {"fingerprint": fingerprint}, progress)
    except InputError as err:
        reason = str(err).replace(str(task.file), task.name)
        return result | {"status": "failed", "reason": reason, "traceback": traceback.format_exc()}


def _fingerprint(tool, task):
    """Return what a part depends on, as text."""
    try:
        stat = task.file.stat()
    except OSError as err:
        raise InputError(f"{task.file}: {err.strerror}") from err
    facts = provenance.versions() | tool.facts()
    facts["input"] = [str(task.file.absolute()), stat.st_size, stat.st_mtime_ns]
    return json.dumps(facts, sort_keys=True)


def _finished(path, fingerprint):
    """Return the report of a part that a run before this one finished, None if there is no good one."""
    if not path.exists():
        return None
    try:
        with open_file(path) as file, damage(path):
            attributes = file.root._v_attrs
            return json.loads(str(attributes["report"])) if str(attributes["fingerprint"]) == fingerprint else None
    except (DatasetError, KeyError, ValueError):
        return None


@contextmanager
def analysed(tool, output, files, jobs=1, executor=None, on_error="skip", progress=None):
    """Analyse files, as a context in which their parts are there.

    They are removed if it ends well and no file failed: else the same command goes on with them.

    Parameters
    ----------
    tool : TableFiller or CutsSelector
    output : Path
        Parts are in a folder beside it, which no second run gets.
    files : list of Path
    jobs : int
        Worker processes.
    executor : Executor or dask client, optional
        Takes the tasks instead.
    on_error : 'skip' or 'stop'
        A file that can't be read.
    progress : many_files.Progress, optional

    Yields
    ------
    outcomes : list of dict
        As `many_files.Report` has them, in the order of the files.
    parts : list of Path
        Of the outcomes that are 'written'.

    Raises
    ------
    InputError
        With on_error = 'stop', for a file that can't be read.
    """
    progress = progress or Progress()
    files = once(files)
    with hold_parts_folder(output) as folder:
        items = [AnalysisTask(str(file), file, folder.part_path(file)) for file in files]
        progress.started(len(files))
        with Crew(tool, folder.folder, executor, jobs if len(files) > 1 else 1, MODULES) as crew:
            outcomes = convert_all(crew, iter(items), len(items), on_error, progress, analyse)
        written = [item.target for item, found in zip(items, outcomes, strict=True) if found["status"] == "written"]
        yield outcomes, written
        if not any(found["status"] == "failed" for found in outcomes):
            folder.clear()

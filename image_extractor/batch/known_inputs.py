"""Which inputs an output holds already, and whether they were converted as they are to be now."""

import copy
from typing import NamedTuple

from .. import input_files
from ..errors import DatasetError

OTHERWISE = "start afresh with --overwrite, or choose another OUTPUT"


class KnownRun(NamedTuple):
    """What Run_Table says of how a run came in; max_events is 0 for all, -1 and the digest empty in older formats."""

    run_number: int
    primary: int
    file_size: int
    file_digest: str
    max_events: int
    dictionary: str
    dictionary_sha256: str


def known_runs(rows):
    """Return {file name: [KnownRun, ...]} of rows of Run_Table."""
    known = {}
    for row in rows:
        facts = [row[name] for name in ("run_number", "primary", "file_size", "file_digest", "max_events")]
        facts += [row["bins_cuts_dict"], row["bins_cuts_dict_sha256"]]
        values = [value.decode(errors="replace") if isinstance(value, bytes) else int(value) for value in facts]
        known.setdefault(bytes(row["file_name"]), []).append(KnownRun(*values))
    return known


class KnownInputs:
    """The runs that an output holds, and what a run of the command wants of them.

    Parameters
    ----------
    sources : list of MergeSource
        The output, or outputs.
    max_events : int or None
    dictionary, dictionary_sha256 : str
        Name and checksum of the bins_cuts_dict, empty without one.
    word : str
        What these are of, in messages.
    """

    def __init__(self, sources, max_events, dictionary, dictionary_sha256, word="dictionary"):
        self._runs = {}
        for source in sources:
            for name, runs in source.known.items():
                self._runs.setdefault(name, []).extend(runs)
        self._max_events = max_events or 0
        self._dictionary, self._word = (dictionary, dictionary_sha256), word

    def of_name(self, file):
        """Return the part of this that concerns files of one name, None if there is none: it travels to a worker."""
        name = input_files.name_bytes(file)
        if name not in self._runs:
            return None
        part = copy.copy(self)
        part._runs = {name: self._runs[name]}
        return part

    def holds(self, file):
        """Say whether a file is in the output as it is wanted, by its content.

        Raises
        ------
        DatasetError
            If it is there, but was converted otherwise.
        """
        runs = self._runs.get(input_files.name_bytes(file), ())
        if not runs or not file.is_file():
            return False
        digest = input_files.digest(file)
        same = [run for run in runs if run.file_digest == digest]
        for run in same:
            self._check(file, run)
        return bool(same)

    def has_run(self, file, run_number, primary):
        """Say whether a run is in the output, of a file that :meth:`holds` does not know.

        Productions share run numbers and names of files, but one name, number and primary is one input. Older
        formats know it by its size.

        Raises
        ------
        DatasetError
            If it is there, but of another file of this name, or was converted otherwise.
        """
        for run in self._runs.get(input_files.name_bytes(file), ()):
            if (run.run_number, run.primary) != (run_number, primary):
                continue
            size = file.stat().st_size
            if run.file_digest or run.file_size != size:
                was = f"of {run.file_size} bytes, this one has {size}" if run.file_size != size else "of other content"
                raise DatasetError(f"{file}: the output has run {run_number} of a file of that name {was}: {OTHERWISE}")
            self._check(file, run)
            return True
        return False

    def _check(self, file, run):
        name, sha256 = self._dictionary
        if run.dictionary_sha256 != sha256:
            old, new = run.dictionary or "none", name or "none"
            what = f"with the {self._word} {old}, now {new}" if old != new else f"with another {self._word} {old}"
            raise DatasetError(f"{file}: in the output already, but made {what}: {OTHERWISE}")
        if run.max_events not in (self._max_events, -1):
            old, new = (f"--max_events {n}" if n else "all events" for n in (run.max_events, self._max_events))
            raise DatasetError(f"{file}: in the output already, but made with {old}, now {new}: {OTHERWISE}")

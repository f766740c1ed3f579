"""Images of finished parts are copied to the new output while other files are still converted.

Merging is what only one process of a run does, and most of it is copying images. Where these go does not depend on the
shuffle, the split, or the number of events, so they can go ahead. What is copied ahead is a guess, though: that all
parts so far will be in the output. If that was wrong, it is thrown away, and the merge copies all.
"""

import contextlib
from collections import deque

import tables

from ..events import same_telescopes
from ..hdf5 import dataset_files, nodes, replacing, schema
from . import compatibility

#: Images of the first part, at least: it takes longer to open smaller parts twice than is gained.
FEWEST = 500


class _ThrownAway(Exception):
    """Ends the writing of a file that is not used."""


def _telescopes(source):
    """Return what an outcome has as `telescopes`."""
    return same_telescopes.digest(source.tel_table, source.cameras, source.focal_length_choice)


class ImagesAhead:
    """Copies images of the sources of a merge, source after source, as they become known.

    A context manager: at its end what was not used is thrown away.

    Parameters
    ----------
    target : Path
        The output.
    folder : Path
        For the file until it is complete.
    old : compatibility.MergeSource, optional
        What is in the output already: its images go first, when the first part is there.
    """

    def __init__(self, target, folder, old=None):
        self._target, self._folder = target, folder
        self._stack, self._file, self._part = contextlib.ExitStack(), None, None
        self._waiting, self._begun, self._arrays, self._left = deque(), [], {}, deque()
        self._outcomes, self._n_noted = {}, 0
        self._reference, self._runs, self._guesses = None, set(), True
        if old:
            self._reference = _telescopes(old), old.kind
            self._runs |= {(number, primary) for _, number, primary in old.runs}
        self._old = [old.path] if old else []

    def __enter__(self):
        return self

    def __exit__(self, kind, err, traceback):
        self._throw_away(err)

    def _throw_away(self, err=None):
        with contextlib.suppress(_ThrownAway), self._stack:  # which sees what happened, be it while the part is closed
            self._close_part()
            raise err or _ThrownAway

    def note(self, number, path, outcome):
        """Take what became of a file, as in Report.outcomes, and its part; they come in any order, numbered from 0."""
        self._outcomes[number] = path, outcome
        while self._n_noted in self._outcomes:
            path, outcome = self._outcomes.pop(self._n_noted)
            self._n_noted += 1
            if outcome["status"] == "written":
                self._add(path, outcome)

    def _add(self, path, outcome):
        """Take the next part; what is doubtful ends the guessing."""
        facts = outcome["telescopes"], outcome.get("kind", schema.SIMULATED)
        runs = {(number, primary) for number, primary in outcome["runs"]}
        if self._reference is None:
            self._reference = facts
            self._guesses = outcome["images"] >= FEWEST
        self._guesses &= facts == self._reference and self._runs.isdisjoint(runs)
        self._runs |= runs
        if self._guesses:
            self._waiting.extend([*self._old, path])
            self._old = []

    def work(self):
        """Copy the images of one telescope; returns False if there is nothing to do."""
        if self._left:
            self._copy_next()
        elif self._waiting:
            self._begin_next()
        else:
            return False
        return True

    def _begin_next(self):
        path = self._waiting.popleft()
        self._close_part()
        self._part = dataset_files.open_dataset(path, rows_only=True, verify=True)
        self._begun.append(path)
        with dataset_files.damage(path):
            counts = compatibility.counts(self._part)
        if self._file is None and compatibility.n_events(counts):
            self._create(path)
        if self._file:
            self._left.extend(
                (group, name, n) for group, rows in counts.items() for name, n in rows.items() if n and name[0] == "T"
            )

    def _create(self, path):
        """Create the file, with the arrays of its images, as a source with events has them."""
        with dataset_files.open_dataset(path, verify=True) as example:
            arrays = {group._v_pathname: nodes.image_arrays(group) for group in nodes.events_groups(example)}
            if not all(array.filters.complevel for group in arrays.values() for array in group.values()):
                self._guesses = False  # an old output; the number of its images must be known to create its arrays
                self._waiting.clear()
                return
            self._file = self._stack.enter_context(replacing.replacing(self._target, self._folder, sealed=True))
            for group, of_group in arrays.items():
                self._arrays[group] = nodes.create_image_arrays(self._file, group, of_group)

    def _copy_next(self):
        group, name, n_images = self._left.popleft()
        images = nodes.leaf(self._part, group, name, tables.EArray, n_images)
        with dataset_files.damage(self._part.filename):
            target = self._arrays[group][name]
        nodes.copy_images(images, target)

    def _close_part(self):
        part, self._part = self._part, None  # once: what Ctrl-C interrupts is closed all the same
        if part is not None:
            part.close()

    def take_over(self, paths):
        """Give the file to the merge of these sources, if those that were copied are the first of them.

        Returns
        -------
        (context manager, {group: {name: array}}, int) or None
            What gives the file, and finishes it at its end; its arrays, and how many sources are copied to them.
        """
        while self._left:
            self._copy_next()
        self._close_part()
        if self._file is None or self._begun != list(paths[: len(self._begun)]):
            self._throw_away()
            return None
        return _finishing(self._stack.pop_all(), self._file), self._arrays, len(self._begun)


@contextlib.contextmanager
def _finishing(stack, file):
    with stack:
        yield file

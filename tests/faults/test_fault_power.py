"""Power that is lost at any moment of a run: the output is absent, old or new; the same command finishes.

A run is recorded: all that it asks the file system to do. Of each prefix of it states are made that a file system may
hold when power comes back (see power_loss.py). What a run removes unread, files that end in .tmp, is not told apart
when the same command is run in a state: states that differ only in these are run once.
"""

import hashlib
import os
import shutil

import pytest
from helpers.faults.harness import RECORD
from helpers.faults.power_loss import Disk, operations, read_tree, write_tree
from helpers.faults.tally import IS_LONG, LIMIT, SEED, Tally
from helpers.reading import content

from image_extractor import DatasetError
from image_extractor.viewing.dataset_check import check

#: States of a prefix that are made at random, besides the five that always are; prefixes that are tried.
N_RANDOM, N_PREFIXES = (40, None) if IS_LONG else (6, 4)

#: What is run: the inputs by number of the first command, if any, of the second, which is recorded, and its options.
SCENARIOS = {
    "one input": ((), (0,), ()),
    "two inputs": ((), (0, 1), ()),
    "shuffled and split": ((), (0, 1), ("--shuffle", "--split", "0.5,0.5")),
    "appended": ((0,), (0, 1), ()),
    "appended, shuffled and split": ((0,), (0, 1), ("--shuffle", "--split", "0.5,0.5")),
    "afresh over an old one": ((0,), (1,), ("--overwrite",)),
    "numbered outputs": ((), (0, 1), ("--files_per_output", "1")),
    "several outputs merged": ((), (0, 1, 2), ("--files_per_output", "2", "--shuffle")),
    "gone on with": (None, (0, 1), ()),
}


@pytest.fixture(scope="module")
def inputs(small_runs, tmp_path_factory):
    from image_extractor.demo import write_demo_file

    third = tmp_path_factory.mktemp("third") / "run3.simtel"
    write_demo_file(third, events=2, telescopes="SSTC:2", run=3)
    return [*small_runs, third]


class Scene:
    """A scenario in a folder: what is there before, what a run does to it, and what comes of it."""

    def __init__(self, server, name, inputs, config, tmp_path):
        first, second, options = SCENARIOS[name]
        self._server, self.folder = server, tmp_path / "out"
        self.folder.mkdir()
        self._inputs, self._config = tmp_path / "in", config
        self._inputs.mkdir()
        self._options = [option for option in options if first != () or option != "--overwrite"]
        if first:
            self._give(inputs, first)
            usual = [option for option in options if option != "--overwrite"]
            assert self._run(usual).code == 0
        self._give(inputs, second)
        if first is None:  # killed when the first input is finished, and the second is not
            self._kill_late()
        self.before = read_tree(self.folder)
        self.old = self.contents()
        ended = self._run(self._options, action=RECORD)
        assert ended.code == 0, ended
        self.operations = operations(ended.log, self.folder)
        self.after, self.new = read_tree(self.folder), self.contents()
        self._clean = {
            hash_of(tree[name]) for tree in (self.before, self.after) for name in tree if name.endswith(".h5")
        }

    def _give(self, inputs, numbers):
        for path in self._inputs.iterdir():
            path.unlink()
        for number in numbers:
            (self._inputs / inputs[number].name).symlink_to(inputs[number])

    def _run(self, options, **faults):
        return self._server.run(
            [self._inputs / "*", self.folder / "o.h5", self._config, *options], self.folder, **faults
        )

    def _kill_late(self):
        from helpers.faults.harness import KILL

        steps = self._run(self._options).steps
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        renames = [number for number, step in enumerate(steps, 1) if step.split()[1] == "rename"]
        assert self._run(self._options, at=renames[1], action=KILL).code == -9
        assert len(list((self.folder / "o.h5.parts").glob("*.h5"))) == 1

    def contents(self):
        return {path.name: content(path) for path in sorted(self.folder.glob("*.h5"))}

    def judge(self, tree):
        """Return what is wrong with the outputs in a state, '' if nothing."""
        outputs = {path: data for path, data in tree.items() if path.endswith(".h5") and "/" not in path}
        for path, data in outputs.items():
            if hash_of(data) in self._clean:
                continue
            write_tree(self.folder, {path: data})
            try:
                problems, *_ = check(self.folder / path)
            except DatasetError as err:
                problems = [str(err)]
            if problems or content(self.folder / path) not in (self.old.get(path), self.new.get(path)):
                return f"{path} is neither old nor new: {problems}"
            self._clean.add(hash_of(data))
        lost = set(self.old) - set(outputs)
        return f"{lost.pop()} is gone" if lost - (set(self.old) - set(self.new)) else ""

    def recover(self, tree):
        """Return what is wrong when the same command is run in a state, '' if nothing."""
        write_tree(self.folder, tree)
        ended = self._run(self._options)
        if ended.improper() or ended.code != 0:
            return f"the same command: {ended.improper() or ended.stderr}"
        return "" if self.contents() == self.new else "the same command gives something else"


def hash_of(data):
    return hashlib.blake2b(data, digest_size=16).digest()


def kind_of(tree):
    """Return what tells states apart for a run."""
    names = sorted(path for path in tree if not path.endswith(".tmp"))
    has_temporary = len(names) < len(tree)
    return has_temporary, tuple((path, None if tree[path] is None else hash_of(tree[path])) for path in names)


@pytest.fixture
def scene(request, server, inputs, make_config, tmp_path):
    settings = {"storage_mode": "all"} if request.param == "two inputs" else {"storage_mode": "mapped"}
    config = make_config(telescope_type_mode="SST", image_scale_factor=1, **settings)
    return Scene(server, request.param, inputs, config, tmp_path)


@pytest.mark.parametrize("scene", SCENARIOS, indirect=True)
def test_loss_of_power(scene, request, record_property):
    name = request.node.callspec.params["scene"]
    tally, disk, known = Tally(record_property, f"power lost: {name}"), Disk(scene.before), {}
    n_prefixes = LIMIT or N_PREFIXES or len(scene.operations)
    step = max(len(scene.operations) // n_prefixes, 1)
    for number in range(len(scene.operations) + 1):
        if number:
            disk.do(scene.operations[number - 1])
        if number % step and number < len(scene.operations):
            continue
        for what, tree in disk.states(N_RANDOM, f"{SEED} {name} {number}"):
            why, kind = scene.judge(tree), kind_of(tree)
            if not why and kind not in known:
                known[kind] = scene.recover(tree)
            why = why or known[kind]
            if why:
                tally.lost(f"after {number} of {len(scene.operations)} steps, {what}", why)
            else:
                tally.survived(what)
    assert disk.now() == scene.after, "not all that the run did was recorded"
    record_property("runs", len(known))
    tally.finish()


def test_files_that_end_in_tmp_are_removed_unread(server, small_runs, make_config, tmp_path):
    """So it does not matter what is in them: nobody may open this one, and it is gone in the end."""
    folder = tmp_path / "out"
    (folder / "o.h5.parts").mkdir(parents=True)
    os.mkfifo(folder / "o.h5.parts" / "a.tmp")  # who opens it waits for ever
    (folder / "o.h5.parts" / "b.h5.tmp").write_bytes(b"nonsense")
    config = make_config(telescope_type_mode="SST", image_scale_factor=1)
    ended = server.run([small_runs[0], folder / "o.h5", config], folder)
    assert (ended.code, ended.errors) == (0, [])
    assert [path.name for path in folder.iterdir()] == ["o.h5"]

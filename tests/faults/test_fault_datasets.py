"""Datasets that are damaged, newer, hostile or not ours: refused untouched; and runs that want the same output."""

import contextlib
import gc
import os
import pickle
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tables
from helpers.faults.tally import Tally, chosen, seeded
from helpers.reading import content
from helpers.resealed import changed

from image_extractor import DatasetError
from image_extractor.batch import compatibility, merge, parts_folder
from image_extractor.hdf5 import dataset_files, nodes, replacing
from image_extractor.hdf5.checksums import Seal
from image_extractor.viewing.dataset_check import check


@pytest.fixture
def config(make_config):
    return make_config(telescope_type_mode="SST", storage_mode="mapped", image_scale_factor=1)


@pytest.fixture
def dataset(server, small_runs, config, tmp_path):
    output = tmp_path / "out" / "o.h5"
    output.parent.mkdir()
    assert server.run([small_runs[0], output, config], tmp_path).code == 0
    return output


def test_truncated_output(server, small_runs, config, dataset, record_property):
    data = dataset.read_bytes()
    tally = Tally(record_property, "appending to a truncated dataset")
    dice = seeded(3)
    for size in chosen([dice.randrange(len(data)) for _ in range(100)], 5):
        dataset.write_bytes(data[:size])
        ended = server.run([small_runs[1], dataset, config], dataset.parent)
        if ended.improper() or ended.code != 2 or len(ended.errors) != 1 or dataset.read_bytes() != data[:size]:
            tally.lost(size, f"{ended}")
        else:
            tally.survived("refused, untouched")
    tally.finish()


def test_damaged_output(server, small_runs, config, dataset, record_property):
    """A block of zeros somewhere: refused, or it held nothing: the same comes out as without it; never a traceback."""
    data = dataset.read_bytes()
    assert server.run([small_runs[1], dataset, config], dataset.parent).code == 0
    new = content(dataset)
    tally = Tally(record_property, "appending to a dataset with a block of zeros")
    dice = seeded(4)
    for place in chosen([dice.randrange(len(data)) for _ in range(100)], 5):
        damaged = data[:place] + bytes(512) + data[place + 512 :]
        dataset.write_bytes(damaged)
        ended = server.run([small_runs[1], dataset, config], dataset.parent)
        untouched = len(ended.errors) == 1 and dataset.read_bytes() == damaged
        if ended.improper() or (ended.code and not untouched):
            tally.lost(place, f"{ended}")
        elif not ended.code and content(dataset) != new:
            tally.lost(place, "appended, and something else came out")
        else:
            tally.survived("refused, untouched" if ended.code else "appended, harmless")
    tally.finish()


def set_version(path, version):
    with tables.open_file(path, "a") as file:
        file.root._v_attrs["format_version"] = version


def forget_format(path):
    with tables.open_file(path, "a") as file:
        del file.root._v_attrs["format"]


SPOIL = {
    "newer": lambda path: set_version(path, "99.0"),
    "no version": lambda path: set_version(path, "many"),
    "not ours": forget_format,
    "text": lambda path: path.write_text("my thesis"),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "read-only": lambda path: path.chmod(0o444),
    "open elsewhere": lambda path: None,
}
OPEN = "import sys, tables\nwith tables.open_file(sys.argv[1], 'a'): print(1, flush=True); sys.stdin.read()"


@contextlib.contextmanager
def open_elsewhere(path):
    """Let another process have a file open for writing."""
    holder = subprocess.Popen([sys.executable, "-c", OPEN, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline()
        yield
    finally:
        holder.communicate()


@pytest.mark.parametrize("action", ["append", "overwrite", "shuffle", "split"])
@pytest.mark.parametrize("what", SPOIL)
def test_refused_untouched(what, action, server, small_runs, config, dataset):
    SPOIL[what](dataset)
    before = dataset.read_bytes()
    with open_elsewhere(dataset) if what == "open elsewhere" else contextlib.nullcontext():
        if action in ("append", "overwrite"):
            options = ["--overwrite"] if action == "overwrite" else []
            ended = server.run([small_runs[1], dataset, config, *options], dataset.parent)
            assert (ended.code, len(ended.errors)) == (2, 1), ended
            assert not ended.improper()
        else:
            with pytest.raises(DatasetError):
                merge.rewrite(dataset, **({"seed": 1} if action == "shuffle" else {"split": {"Training": 1.0}}))
    assert dataset.read_bytes() == before
    assert list(dataset.parent.iterdir()) == [dataset]


@pytest.mark.parametrize("action", ["append", "shuffle"])
def test_dataset_without_the_images_of_a_telescope(action, server, small_runs, config, dataset):
    """As a damaged block of its file may leave it."""
    with changed(dataset) as file:
        file.remove_node("/E0/T2")
    before = dataset.read_bytes()
    if action == "append":
        ended = server.run([small_runs[1], dataset, config], dataset.parent)
        assert (ended.code, len(ended.errors), ended.improper()) == (2, 1, ""), ended
        assert "images of telescope 2 are missing" in ended.errors[0]
    else:
        with pytest.raises(DatasetError, match="images of telescope 2 are missing"):
            merge.rewrite(dataset, seed=1)
    assert dataset.read_bytes() == before
    assert list(dataset.parent.iterdir()) == [dataset]


class Touch:
    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize("where", ["/", "/Tel_Table", "/Run_Table", "/E0", "/E0/Events", "/Cameras", "/E0/T1"])
def test_attributes_are_never_unpickled(where, dataset, tmp_path):
    mark = tmp_path / "mark"
    with changed(dataset) as file:
        node = file.get_node(where)
        for name in ("format_version", "CLASS", "note"):
            if name != "format_version" or where == "/":
                node._v_attrs[name] = np.bytes_(pickle.dumps(Touch(mark), 0))
    try:
        compatibility.inspect(dataset)
        merge.build([dataset], tmp_path / "copy.h5", tmp_path)
    except DatasetError:
        pass
    assert not mark.exists()


def test_nodes_that_hold_objects_are_refused(dataset, tmp_path):
    mark = tmp_path / "mark"
    with tables.open_file(dataset, "a") as file:
        file.remove_node("/Run_Table")
        file.create_vlarray("/", "Run_Table", tables.ObjectAtom()).append(Touch(mark))
    with pytest.raises(DatasetError, match="/Run_Table: its attributes, or type, have changed"):
        compatibility.inspect(dataset)
    with dataset_files.open_dataset(dataset) as file:
        for function in (Seal.of, nodes.check_kinds):
            with pytest.raises(DatasetError, match="/Run_Table is no table"):
                function(file)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["Nodes", "Blocks", "Chunks"])
def test_checksums_that_hold_objects_are_refused(name, dataset, tmp_path):
    mark = tmp_path / "mark"
    with tables.open_file(dataset, "a") as file:
        file.remove_node(f"/Checksums/{name}")
        file.create_vlarray("/Checksums", name, tables.ObjectAtom()).append(Touch(mark))
    with pytest.raises(DatasetError, match=f"/Checksums/{name} is no table or array of numbers"):
        compatibility.inspect(dataset)
    assert check(dataset)[0]
    assert not mark.exists()


def test_others_attributes_are_as_ever(tmp_path):
    """Files that a user opens with PyTables are not ours to guard."""
    with tables.open_file(tmp_path / "mine.h5", "w") as file:
        file.root._v_attrs["mine"] = {"a": [1, None]}
    with tables.open_file(tmp_path / "mine.h5") as file:
        assert file.root._v_attrs["mine"] == {"a": [1, None]}


@pytest.mark.filterwarnings("error")
def test_file_that_can_only_be_opened_half(tmp_path):
    """As it is left by a full disk: named, closed, and nothing is said at exit, where PyTables would try once more."""
    path = tmp_path / "o.h5"
    with dataset_files.open_file(path, "w") as file:
        file.flush()
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\x11\0\x10\0", b"\0\0\x10\0", 1))  # what makes the root a group
    with pytest.raises(DatasetError, match=r"o\.h5: not a readable HDF5 file"):
        dataset_files.open_file(path)
    gc.collect()
    assert str(path) not in tables.file._open_files.filenames
    with pytest.raises(OSError, match="not all that was written"):
        replacing._written(path)


@pytest.mark.parametrize("loss", ["row", "attribute", "node"])
def test_what_is_not_written_is_noticed(loss, tmp_path, monkeypatch):
    """What HDF5 could not write, and kept quiet about."""
    with pytest.raises(OSError, match="not all that was written"):
        write_with(loss, tmp_path / "o.h5", monkeypatch)
    assert not list(tmp_path.iterdir())


def write_with(loss, path, monkeypatch):
    with replacing.replacing(path) as file:
        table = nodes.create_table(file, "/", "t", np.dtype([("a", "<i8")]), nodes.filters("none"), {"b": 1})
        nodes.append(table, np.arange(10).astype([("a", "<i8")]))
        table.flush()
        lose(loss, file, monkeypatch)


def lose(loss, file, monkeypatch):
    if loss == "row":
        file.root.t.modify_column(3, column=[77], colname="a")
        return
    whole = Seal.of(file, file.ledger)
    monkeypatch.setattr(replacing.Seal, "of", lambda *_: whole)
    if loss == "attribute":
        del file.root.t._v_attrs["b"]
    else:
        file.remove_node("/t")


def write_sealed(path):
    with replacing.replacing(path, sealed=True) as file:
        table = nodes.create_table(file, "/", "t", np.dtype([("a", "<i8")]), nodes.filters("none"), {})
        nodes.append(table, np.zeros(3, [("a", "<i8")]))
        images = nodes.create_image_array(file, "/", "T1", np.uint16, (4, 4, 1), nodes.filters("lz4"), {})
        nodes.append(images, np.zeros((3, 4, 4, 1), np.uint16))


@pytest.mark.parametrize("name", ["Nodes", "Blocks", "Chunks"])
def test_checksums_that_are_not_written_are_noticed(name, tmp_path, monkeypatch):
    write = Seal.write

    def without_a_row(self, file):
        write(self, file)
        node = file.root.Checksums._f_get_child(name)
        node[:1] = np.zeros(1, node.dtype)

    monkeypatch.setattr(Seal, "write", without_a_row)
    with pytest.raises(OSError, match="not all that was written"):
        write_sealed(tmp_path / "o.h5")
    assert not list(tmp_path.iterdir())


# -- two runs, one output -----------------------------------------------------------------------------


HOLD = "import sys, time; from image_extractor.batch.parts_folder import hold_parts_folder\nwith hold_parts_folder(sys.argv[1]): print(1, flush=True); time.sleep(60)"


def test_stale_lock_of_a_killed_run(tmp_path):
    """The next run on this machine has it at once."""
    holder = subprocess.Popen([sys.executable, "-P", "-c", HOLD, tmp_path / "o.h5"], stdout=subprocess.PIPE)
    holder.stdout.readline()
    with (
        pytest.raises(DatasetError, match=f"in use by another run .*pid {holder.pid}"),
        parts_folder.hold_parts_folder(tmp_path / "o.h5"),
    ):
        pass
    holder.kill()
    holder.communicate()
    start = time.monotonic()
    with parts_folder.hold_parts_folder(tmp_path / "o.h5"):
        assert time.monotonic() - start < parts_folder.SILENCE / 2


@pytest.mark.parametrize("lives", [False, True])
@pytest.mark.parametrize("has_locks", [True, False])
def test_lock_of_a_run_on_another_machine(lives, has_locks, tmp_path, monkeypatch):
    """On shared file systems, locks may hold on one machine only, or there may be none."""
    monkeypatch.setattr(parts_folder, "SILENCE", 2.0)
    if not has_locks:
        monkeypatch.setattr(parts_folder.fcntl, "flock", no_locks)
    (tmp_path / "o.h5.parts").mkdir()
    lock = tmp_path / "o.h5.parts" / "lock"
    lock.write_text("elsewhere pid 1\n")
    touch = subprocess.Popen(
        [sys.executable, "-c", "import os, sys, time\nwhile True: os.utime(sys.argv[1]); time.sleep(0.1)", lock]
    )
    if not lives:
        touch.kill()
        touch.wait()
    try:
        if lives:
            time.sleep(0.3)
            with (
                pytest.raises(DatasetError, match=r"in use by another run \(elsewhere pid 1"),
                parts_folder.hold_parts_folder(tmp_path / "o.h5"),
            ):
                pass
        else:
            with parts_folder.hold_parts_folder(tmp_path / "o.h5"):
                assert lock.read_text() == f"{socket.gethostname()} pid {os.getpid()}\n"
    finally:
        touch.kill()
        touch.wait()


def no_locks(*_):
    raise OSError(95, "Operation not supported")


@pytest.mark.slow
def test_two_runs_at_once(small_runs, config, tmp_path):
    """Both are started at the same time: one does the work, or one after the other; never both."""
    output = tmp_path / "o.h5"
    arguments = [small_runs[0].parent / "*", output, config, "--jobs", 1]
    command = [sys.executable, "-P", "-m", "image_extractor", *map(str, arguments)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [run.communicate(timeout=200)[1] for run in runs]
    codes = sorted(run.returncode for run in runs)
    assert codes in ([0, 2], [0, 0]), said
    if codes == [0, 2]:
        loser = next(text for run, text in zip(runs, said, strict=True) if run.returncode == 2)
        assert "in use by another run" in loser
    assert content(output)["/Run_Table"][0][1] == (2,)
    assert not (tmp_path / "o.h5.parts").exists()

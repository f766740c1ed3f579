"""PyTables as every other program knows it, beside files of which nothing is unpickled."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import tables

from image_extractor import tested_versions
from image_extractor.errors import ConfigError
from image_extractor.hdf5 import dataset_files, pytables_patches

UNCHANGED = """
import sys, tables
before = {name: dict(vars(module)) for name, module in sys.modules.items() if name.split(".")[0] == "tables"}
classes = {kind: dict(vars(kind)) for names in before.values() for kind in names.values() if isinstance(kind, type)}
import image_extractor.dataset
from image_extractor.hdf5 import dataset_files
for mode in "wr":
    for rows_only in (False, True):
        with dataset_files.open_file(sys.argv[1], mode, dataset_files._RowsFile if rows_only else dataset_files.PlainFile) as file:
            file.create_array("/", "array", [1]) if mode == "w" else file.root.array._v_attrs
for name, names in before.items():
    assert {key: id(value) for key, value in vars(sys.modules[name]).items() if key != "__warningregistry__"} == {
        key: id(value) for key, value in names.items() if key != "__warningregistry__"}, name
for kind, members in classes.items():
    if kind.__module__.split(".")[0] == "tables":
        assert dict(vars(kind)) == members, kind
"""


class Trap:
    """Is a list when it is unpickled, and tells of it."""

    sprung = 0

    def __reduce__(self):
        return spring, ()


def spring():
    Trap.sprung += 1
    return [1]


@pytest.fixture
def trapped(tmp_path):
    """A file of nodes of all kinds, each with attributes that tell when they are unpickled."""
    path = tmp_path / "trapped.h5"
    with tables.open_file(path, "w", filters=tables.Filters(complevel=1)) as file:
        group = file.create_group("/", "group")
        made = [file.root, group, file.create_array(group, "array", [0])]
        made += [file.create_carray(group, "carray", obj=np.zeros((2, 3)))]
        made += [file.create_earray(group, "earray", obj=np.zeros((2, 3)))]
        made += [file.create_vlarray(group, "vlarray", tables.Int32Atom())]
        made += [file.create_table(group, "table", np.zeros(3, [("column", "<i4")]))]
        made += [file.create_table(group, "indexed", np.zeros(3, [("column", "<i4")]))]
        made[-1].cols.column.create_index()
        made += list(file.walk_nodes("/group/_i_indexed"))
        for node in made:
            for name in ("note", "TITLE"):
                attributes = node._v_attrs
                attributes._g_setattr(node, name, np.array(pickle.dumps(Trap(), 0)))
        paths = [node._v_pathname for node in made]
    Trap.sprung = 0
    return path, paths


def open_all(file, paths):
    """Open nodes in each way in which this package comes to them."""
    found = [file.root._v_filters]
    for path in paths:
        node = file.get_node(path)
        found.append(node._v_title)
        node._v_attrs._f_list("all")
        assert not hasattr(node._v_attrs, "missing")
    found += [*file.walk_nodes("/"), *file.root._f_iter_nodes(), file.root.group._f_get_child("table")]
    found.append(file.root.group.table.cols.column.attrs)
    found.append(file.root.group.table[:])


def test_importing_this_package_changes_nothing_of_pytables(tmp_path):
    subprocess.run([sys.executable, "-P", "-c", UNCHANGED, tmp_path / "file.h5"], check=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [dataset_files.PlainFile, dataset_files._RowsFile])
@pytest.mark.parametrize("mode", ["r", "a"])
def test_nothing_of_a_file_of_ours_is_unpickled(kind, mode, trapped):
    path, paths = trapped
    with dataset_files.open_file(path, mode, kind) as file:
        open_all(file, paths)
        assert file.root._v_attrs["note"] == pickle.dumps(Trap(), 0)
        if kind is dataset_files.PlainFile:
            assert all(file.get_node(path)._v_attrs.note == pickle.dumps(Trap(), 0) for path in paths)
    assert Trap.sprung == 0


@pytest.mark.filterwarnings("ignore")
def test_files_of_others_are_as_ever_while_ours_are_open(trapped):
    path, paths = trapped
    with dataset_files.open_file(path) as ours, tables.open_file(path) as other:
        assert other.root._v_attrs.note == [1]
        assert other.root.group.table._v_attrs.note == [1]
        sprung = Trap.sprung
        open_all(ours, paths)
        assert Trap.sprung == sprung > 0
        assert type(other.root._v_attrs) is tables.attributeset.AttributeSet


def test_a_node_of_ours_that_is_made_anew_is_plain_too(tmp_path):
    """Made, closed, taken from the cache of nodes, or copied."""
    with dataset_files.open_file(tmp_path / "file.h5", "w") as file:
        for number in range(100):  # the cache has room for 64
            file.create_array("/group", f"array{number}", [0], createparents=True)._v_attrs.note = Trap()
        file.root.group.array0.copy("/", "copied")
        nodes = [*file.walk_nodes("/group", "Array"), file.root.copied]
        assert all(type(node._v_attrs).__name__ == "_PlainAttributeSet" for node in nodes)
    Trap.sprung = 0
    with dataset_files.open_file(tmp_path / "file.h5") as file:
        assert all(isinstance(node._v_attrs.note, bytes) for node in file.walk_nodes("/", "Array"))
    assert Trap.sprung == 0


def write_nodes(file):
    """Write attributes of all kinds, PyTables' own and others; of nodes that move, too."""
    group = file.create_group("/", "group", "a title", filters=tables.Filters(complevel=3, complib="blosc:lz4"))
    table = file.create_table(group, "table", {"a": tables.Int32Col(dflt=3), "b": tables.StringCol(4, dflt=b"no")}, "t")
    nodes = [file.root, group, table, file.create_earray(group, "earray", obj=np.zeros((2, 3)), title="é")]
    for node in nodes:
        for name, value in {
            "text": "é",
            "none": "",
            "number": 3,
            "part": 0.5,
            "array": np.arange(3),
            "flag": True,
        }.items():
            node._v_attrs[name] = value
        node._v_attrs.number = 4
        del node._v_attrs.part
    table.append([(1, b"x")])
    table.rename("renamed")
    table._v_attrs.late = table._v_attrs.number + 1
    table.flush()


def attributes_of(file):
    return {
        (node._v_pathname, kind): [
            (name, type(node._v_attrs[name]), repr(node._v_attrs[name])) for name in node._v_attrs._f_list(kind)
        ]
        for node in file.walk_nodes("/")
        for kind in ("sys", "user", "all")
    }


@pytest.mark.parametrize("is_other_version", [False, True])
def test_attributes_of_a_file_of_ours_are_pytables_own(is_other_version, tmp_path, monkeypatch):
    if is_other_version:  # one that has other names within
        monkeypatch.setattr(pytables_patches, "with_names", lambda *_, **__: called_in_vain())
        pytables_patches._attribute_set.cache_clear()
    with tables.open_file(tmp_path / "theirs.h5", "w") as file:
        write_nodes(file)
        expected = attributes_of(file)
    with dataset_files.open_file(tmp_path / "ours.h5", "w") as file:
        write_nodes(file)
        assert attributes_of(file) == expected
    for path in tmp_path.iterdir():
        with dataset_files.open_file(path) as ours:
            found = attributes_of(ours)
        with tables.open_file(path) as theirs:
            assert found == attributes_of(theirs)
    pytables_patches._attribute_set.cache_clear()


def called_in_vain():
    raise ConfigError("does not use it any more")


@pytest.fixture
def other_version(monkeypatch):
    """A version of PyTables that was not tested."""
    monkeypatch.setitem(tested_versions.TESTED, "tables", ("1.0", "1.1"))
    pytables_patches._refuse_unsafe.cache_clear()
    yield
    pytables_patches._refuse_unsafe.cache_clear()


@pytest.mark.filterwarnings("ignore")
def test_another_version_that_keeps_pickles_is_used(other_version, trapped):
    with dataset_files.open_file(trapped[0]) as file:
        assert isinstance(file.root._v_attrs.note, bytes)
    assert Trap.sprung == 0


@pytest.mark.parametrize("break_it", [
    lambda patch: patch.setattr(pytables_patches._Plain, "_g_getattr", tables.attributeset.AttributeSet._g_getattr),
    lambda patch: patch.setattr(pytables_patches._Nodes, "register_node", tables.file.NodeManager.register_node),
    lambda patch: patch.setattr(tables.File, "get_file_image", None),
    lambda patch: patch.setattr(pytables_patches._Nodes, "__init__", None),
])  # fmt: skip
def test_another_version_that_does_not_is_refused(break_it, other_version, trapped, monkeypatch):
    break_it(monkeypatch)
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"^tables .* would run code: install tables 1\.0 to 1\.1$"):
            dataset_files.open_file(trapped[0])
    assert Trap.sprung == 0


INTERRUPTED = """
import sys, tables
from image_extractor.hdf5 import dataset_files
file = dataset_files.open_file(sys.argv[1], "w")
file.create_group("/", "group")
file.create_array("/group", "array", [1])
close = tables.group.Group._g_close
def interrupted(group):
    close(group)
    raise KeyboardInterrupt
tables.group.Group._g_close = interrupted
try:
    file.close()
except KeyboardInterrupt:
    tables.group.Group._g_close = close
    print("interrupted")
"""


def test_a_file_whose_closing_was_interrupted_is_silent_at_exit(tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "a.h5")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "interrupted\n", "")

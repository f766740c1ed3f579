"""What PyTables has no way to ask for, done for the files of this package: PyTables itself stays as it is.

Five things, each with what PyTables would have to offer instead:

Nothing is unpickled.
    PyTables unpickles whatever attribute looks like a pickle when it opens a node, and so runs the code of
    whoever made the file. A file of ours gives each of its nodes an attribute set that does not, before any
    attribute is read: as the node is registered with the file. Upstream: a parameter of open_file, such as
    ``pickled_attributes=False``.
Attributes that nobody asks for are not read.
    An attribute set reads all attributes of its node at once, which takes longer than to open the node.
    Upstream: attribute sets that read an attribute when it is asked for.
File names of any bytes; files that were opened half.
    Names go to HDF5 with a ? in the place of bytes that are not UTF-8, and a file whose opening fails stays in
    the list of open files. Upstream: os.fsencode for names; a File that takes itself from the list when its
    opening fails.
Chunks are written without a look at each of their places.
    ``Leaf.write_chunk`` checks in Python what takes it as long as to write a chunk. Upstream: a method that writes
    many of them.

Attributes find their node, and know names, at once.
    For each attribute that an attribute set reads or writes, it looks for its node by the path, from the root on, and
    multiplies arrays to learn whether the name is one of PyTables' own. Upstream: a weak reference; any().

With a version of PyTables that was not tested the first of them is tried out before any file is opened.
"""

import contextlib
import functools
import os
import pickle
import weakref

import numpy as np
import tables

from ..errors import ConfigError
from ..other_names import with_names
from ..tested_versions import tested, untested


class _Plain:
    """Makes an attribute set give what looks like a pickle as it is: as bytes, which PyTables does not unpickle."""

    def __init__(self, node):
        vars(self)["_v__held"] = weakref.ref(node)  # a node holds its attributes
        super().__init__(node)

    def _g_getnode(self):
        node = vars(self)["_v__held"]()
        return node if node is not None and node._v_isopen else super()._g_getnode()

    def _g_getattr(self, node, name):
        value = super()._g_getattr(node, name)
        return bytes(value) if isinstance(value, np.bytes_) and value.endswith(b".") else value


class _Unread(_Plain):
    """Makes an attribute set that is empty, whatever the file has."""

    def _g_list_attr(self, _node):
        return []


_is_own_name = functools.lru_cache(1 << 12)(tables.attributeset.issysattrname)


def _remembering_names(owner):
    """Return a class of attribute sets that remembers which names are PyTables' own; in new versions the same one."""
    try:
        return type(
            owner.__name__,
            (owner,),
            {
                name: with_names("tables", getattr(owner, name), issysattrname=_is_own_name)
                for name in ("__init__", "__getattr__", "_g__setattr")
            },
        )
    except ConfigError:
        return owner


@functools.cache
def _attribute_set(mixin, owner):
    """Return the class of attribute sets that a class of nodes has, made plain or unread."""
    return type(f"{mixin.__name__}{owner.__name__}", (mixin, _remembering_names(owner)), {})


class _Nodes(tables.file.NodeManager):
    """The nodes of a file: each gets an attribute set of this package when it is registered, and reads it later."""

    def register_node(self, node, key):
        if "_AttributeSet" not in vars(node):  # it is registered anew whenever it is asked for
            vars(node)["_AttributeSet"] = _attribute_set(self.mixin(node), type(node)._AttributeSet)
        super().register_node(node, key)

    def mixin(self, _node):
        return _Plain


class _RootNodes(_Nodes):
    """The nodes of a file of whose attributes only the root's are read."""

    def mixin(self, node):
        return _Plain if node._v_pathname == "/" else _Unread


class FileName(str):
    """A file name that PyTables hands to HDF5 as it is; it would put ? in the place of bytes that are not UTF-8."""

    def encode(self, *_):
        """Return the bytes that the file system has."""
        return os.fsencode(str(self))


class NoFileName(FileName):
    """A file name for messages alone: HDF5 reads bytes as a file only under a name that no file has."""

    def encode(self, *_):
        """Return what can't be opened, for a file is no folder."""
        return super().encode() + b"/"


class PatchedFile(tables.File):
    """A file of which nothing is ever unpickled; with `root_only` no attributes but the root's are read.

    Raises
    ------
    ConfigError
        If the installed PyTables would unpickle all the same.
    """

    def __init__(self, path, mode="r", *, root_only=False, **options):
        _refuse_unsafe()
        self._open(path, mode, root_only, options)

    def _open(self, path, mode, root_only, options):
        self._kind_of_nodes = _RootNodes if root_only else _Nodes
        try:
            super().__init__(path, mode, **options)
        except BaseException:
            self._forget()
            raise

    @property
    def _node_manager(self):
        return vars(self)["_node_manager"]

    @_node_manager.setter
    def _node_manager(self, _):
        vars(self)["_node_manager"] = self._kind_of_nodes(nslots=self.params["NODE_CACHE_SLOTS"])

    def close(self):
        """Close the file."""
        try:
            super().close()
        except BaseException:  # Ctrl-C, too
            self._forget()
            raise

    def _forget(self):
        """Let go of a file that was opened or closed only half: PyTables would fail to close it at exit, and say so."""
        if self in tables.file._open_files.handlers:
            tables.file._open_files.remove(self)
            for node in getattr(vars(self).get("_node_manager"), "registry", {}).values():
                vars(node)["_v_isopen"] = False
            with contextlib.suppress(tables.HDF5ExtError):
                self._close_file()


@functools.cache
def _refuse_unsafe():
    """Raise ConfigError if attributes would be unpickled, which is tried out if PyTables is not a tested version."""
    if (why := untested("tables")) and not _keeps_pickles():
        raise ConfigError(f"{why}: with it attributes of files would run code: install {tested('tables')}")


def _keeps_pickles():
    """Say whether the pickles in the attributes of a file, which is made in memory, stay as they are."""
    pickled = pickle.dumps([0], 0)
    try:
        return _read_back(pickled) == {pickled}
    except Exception:  # noqa: BLE001, whatever it is that PyTables does otherwise
        return False


def _read_back(pickled):
    """Return the set of values that attributes have in a file of ours, of each kind of node, that are this pickle."""
    memory = {"driver": "H5FD_CORE", "driver_core_backing_store": 0}
    with tables.File("pickles.h5", "w", **memory) as file:
        made = [file.root, file.create_group("/", "group"), file.create_array("/group", "array", [0])]
        made += [file.create_table("/group", "table", np.zeros(1, [("column", "<i4")]))]
        for node in made:
            node._v_attrs["pickle"] = np.array(pickled)
        image = file.get_file_image()
    file = PatchedFile.__new__(PatchedFile)
    file._open("pickles.h5", "r", root_only=False, options=memory | {"driver_core_image": image})
    with file:
        return {node._v_attrs["pickle"] for node in file.walk_nodes("/")}


def write_chunk(array, row, chunk, mask):
    """Write a chunk of one row as it is stored, as ``array.write_chunk((row, 0, ...), chunk, mask)`` does.

    The row must be there: ``array.truncate`` makes it.
    """
    place = np.zeros(array.ndim, np.int64)
    place[0] = row
    array._g_write_chunk(place, np.frombuffer(chunk, np.uint8), mask)

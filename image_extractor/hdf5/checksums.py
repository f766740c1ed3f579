"""Checksums beside the data: of every block of rows, of every node, and one over all of these.

    /Checksums/Nodes      a row for each group, table and array: what it is, its attributes, its number of rows
    /Checksums/Blocks     checksums of its rows, block by block, node after node
    /Checksums/Chunks     beside them, of compressed images: checksums of the bytes that are stored of each; 0 of others
    / (attributes)        `checksum`: of its other attributes and of these; `content_sha256`: see content_hash

They are XXH3 of 64 bits (https://xxhash.com), made to find accidents, not forgery. HDF5's own Fletcher-32 would take
readers their memory maps, and zlib's CRC-32 takes fifteen times as long.
"""

import array
from dataclasses import dataclass

import numpy as np
import tables
import xxhash

from ..errors import DamagedDatasetError
from . import content_hash, schema
from .chunk_places import are_single, chunk_places, stored_chunks

#: What is in the group of checksums.
NODES, BLOCKS, CHUNKS = "Nodes", "Blocks", "Chunks"

#: Rows of a table that share a checksum fill so many bytes; each image of an array has its own: readers take them at
#: random. Both are part of what content_sha256 is made of.
BLOCK_BYTES = 1 << 16

#: Bytes that are read and compared at once.
READ_BYTES = 1 << 20

#: What PyTables itself keeps up to date, at a time of its own choice.
CHANGING_ATTRIBUTES = ("NROWS",)


def checksum(data, seed=0):
    """Return the checksum of bytes, or of an array's."""
    return xxhash.xxh3_64_intdigest(data, seed)


def block_rows(node):
    """Return the rows of a table or array that share a checksum."""
    return max(1, BLOCK_BYTES // max(node.rowsize, 1)) if isinstance(node, tables.Table) else 1


def _row_type(node):
    """Return what a row is, as a number: rows are summed up with it, so that nobody takes them for rows of another."""
    return checksum(repr((node.dtype.descr, _numbers(node.shape[1:]))).encode())


class RowSums:
    """The checksums of a node's rows, which come in order, in pieces of any size.

    Attributes
    ----------
    n_rows : int
    """

    def __init__(self, node):
        self.n_rows, self._block, self._seed = 0, block_rows(node), _row_type(node)
        self._sums, self._begun = array.array("Q"), None  # 8 bytes an image, of which there may be millions

    def add(self, rows):
        """Take rows: a contiguous array of the node's dtype."""
        first = 0
        while first < len(rows):
            n = min(self._block - self.n_rows % self._block, len(rows) - first)
            self._add_piece(rows[first : first + n])
            first, self.n_rows = first + n, self.n_rows + n

    def _add_piece(self, rows):
        if len(rows) == self._block:
            self._sums.append(checksum(rows, self._seed))
            return
        self._begun = self._begun or xxhash.xxh3_64(seed=self._seed)
        self._begun.update(rows)
        if (self.n_rows + len(rows)) % self._block == 0:
            self._sums.append(self._begun.intdigest())
            self._begun = None

    def add_sums(self, sums):
        """Take the checksums of rows, each of which is a block."""
        self._sums.extend(sums.tolist())
        self.n_rows += len(sums)

    def sums(self):
        """Return the checksums, uint64 array (n_blocks,)."""
        begun = [self._begun.intdigest()] if self._begun else []
        return np.concatenate([np.array(self._sums, np.uint64), np.array(begun, np.uint64)])


class Ledger:
    """The rows that were written to the nodes of a new file."""

    def __init__(self):
        self._of, self._chunks = {}, {}

    def note(self, node, rows):
        """Take rows that are about to be appended to a node; contiguous, of its dtype."""
        self._sums_of(node).add(rows)

    def note_stored(self, node, sums, chunk_sums):
        """Take the checksums of images that are about to be appended as they are stored, and of what is stored."""
        self._sums_of(node).add_sums(sums)
        self._chunks.setdefault(node._v_pathname, array.array("Q")).extend(chunk_sums.tolist())

    def _sums_of(self, node):
        if node._v_pathname not in self._of:
            self._of[node._v_pathname] = RowSums(node)
        return self._of[node._v_pathname]

    def chunks_of(self, node):
        """Return the checksums of a node's chunks as they were written, None unless all came as they are stored."""
        found = self._chunks.get(node._v_pathname)
        return np.array(found, np.uint64) if found and len(found) == self._sums_of(node).n_rows else None

    def of(self, node):
        """Return the RowSums of a node; what was not noted is read."""
        if node._v_pathname not in self._of:
            return _read(node)
        return self._of[node._v_pathname]


def _plain(node):
    """Return a node whose rows are numbers; others could hold Python objects, which run code when they are read."""
    if not isinstance(node, tables.Table | tables.Array):
        raise DamagedDatasetError(node._v_file.filename, f"damaged: {node._v_pathname} is no table or array of numbers")
    return node


def _read(node):
    found = RowSums(_plain(node))
    step = max(1, READ_BYTES // max(node.rowsize, 1))
    for first in range(0, node.nrows, step):
        found.add(np.ascontiguousarray(node[first : first + step]))
    return found


# -- images as they are stored ---------------------------------------------------------------------------------------


def _chunk_sums(node):
    """Return the checksums of a node's chunks as they are stored, uint64 array (n_rows,); None where there are none."""
    if not isinstance(node, tables.EArray) or not node.nrows or not are_single(node):
        return None
    places = chunk_places(node)
    if places is None:
        return None
    return np.array([NodeSums.of_chunk(chunk) for chunk in stored_chunks(node, places)], np.uint64)


# -- what a node is -------------------------------------------------------------------------------------------------


def _attributes(node, kind):
    attributes = node._v_attrs
    known = vars(attributes)  # PyTables has read all, or written them, and would read each anew if it were asked
    names = sorted(attributes._f_list(kind))
    found = ((name, np.asarray(known[name] if name in known else attributes[name])) for name in names)
    return [(name, value.dtype.str, value.tobytes()) for name, value in found if name not in CHANGING_ATTRIBUTES]


def _kind(node):
    return type(node).__name__, repr(getattr(getattr(node, "dtype", None), "descr", None))


def _numbers(shape):
    return tuple(map(int, shape or ()))  # NumPy's numbers have another text in each of its versions


def _description(node):
    """Return a checksum of all that there is of a node beside its rows; of the root what `checksum` does not cover."""
    kind = "sys" if node._v_pathname == "/" else "all"
    storage = ()
    if isinstance(node, tables.Leaf):
        filters = node.filters
        storage = _numbers(node.shape), _numbers(node.chunkshape), filters.complevel, filters.complib, filters.shuffle
    return checksum(repr((_kind(node), storage, _attributes(node, kind))).encode())


def _content(node):
    """Return a checksum of what does not depend on how rows are stored, nor on their number; of the root none."""
    if node._v_pathname == "/":
        return 0
    return checksum(repr((_kind(node), _numbers(getattr(node, "shape", ())[1:]), _attributes(node, "user"))).encode())


def _nodes(file):
    """Return the nodes of a file in the order of their paths, without those of the checksums."""
    own = f"/{schema.CHECKSUMS}"
    found = {node._v_pathname: node for node in file.walk_nodes("/")}
    return [found[path] for path in sorted(found) if path != own and not path.startswith(f"{own}/")]


# -- all checksums of a file ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NodeSums:
    """The checksums of the rows of one node of a file that is read."""

    file_name: str
    node_path: str
    n_rows: int
    block: int
    seed: int
    sums: np.ndarray
    #: Of compressed images that are a chunk each: of what is stored; None of others.
    chunks: np.ndarray | None = None

    def whole_blocks(self, first, stop):
        """Return the first row, and that behind the last, of the blocks that hold these rows."""
        return first // self.block * self.block, min(-(-stop // self.block) * self.block, self.n_rows)

    def check(self, first, rows):
        """Raise DamagedDatasetError unless rows, of whole blocks from row `first` on, are those that were written."""
        rows = np.ascontiguousarray(rows)
        found = [checksum(rows[i : i + self.block], self.seed) for i in range(0, len(rows), self.block)]
        number = first // self.block
        wrong = np.flatnonzero(self.sums[number : number + len(found)] != np.array(found, np.uint64))
        if len(wrong):
            row = first + int(wrong[0]) * self.block
            last = min(row + self.block, self.n_rows) - 1
            where = f"row {row}" if last == row else f"rows {row} to {last}"
            raise DamagedDatasetError(self.file_name, f"damaged: {self.node_path}: {where}: not what was written")

    @staticmethod
    def of_chunk(chunk):
        """Return the checksum of a chunk as it is stored, (bytes, filter mask)."""
        return checksum(*chunk)


class Seal:
    """The checksums of a whole file.

    Parameters
    ----------
    nodes : structured array
        Rows of NODES.
    blocks : uint64 array
    chunks : uint64 array (len(blocks),), optional
        None in files that have none.
    """

    def __init__(self, nodes, blocks, chunks=None):
        self._nodes, self._blocks, self._chunks = nodes, blocks, chunks
        n_blocks = -(-nodes["n_rows"] // np.maximum(nodes["block_rows"], 1))
        self._ends = np.cumsum(n_blocks)
        self._places = {row["path"].decode(): place for place, row in enumerate(nodes)}

    @classmethod
    def of(cls, file, ledger=None):
        """Return the checksums of a file as it is; with a ledger as it was meant."""
        ledger, rows, blocks, chunks = ledger or Ledger(), [], [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
        for node in _nodes(file):
            n_rows, of_block = 0, 0
            if isinstance(node, tables.Leaf):
                sums = ledger.of(node)
                n_rows, of_block = sums.n_rows, block_rows(node)
                blocks.append(sums.sums())
                stored = ledger.chunks_of(node)
                stored = _chunk_sums(node) if stored is None else stored
                chunks.append(np.zeros(len(blocks[-1]), np.uint64) if stored is None else stored)
            rows.append((node._v_pathname.encode(), n_rows, of_block, _description(node), _content(node)))
        width = max((len(path) for path, *_ in rows), default=1)
        chunks = np.concatenate(chunks)
        nodes = np.array(rows, schema.dtype(schema.node_checksum_columns(width)))
        return cls(nodes, np.concatenate(blocks), chunks if chunks.any() else None)

    @classmethod
    def read(cls, file):
        """Return the checksums that a file holds, None if there are none; DamagedDatasetError if they have changed."""
        if schema.CHECKSUMS not in file.root:
            return None
        group = file.root._f_get_child(schema.CHECKSUMS)
        rows, blocks = (_plain(group._f_get_child(name))[:] for name in (NODES, BLOCKS))
        chunks = _plain(group._f_get_child(CHUNKS))[:] if CHUNKS in group else None
        columns = schema.dtype(schema.node_checksum_columns(1)).names
        numbers = [blocks] if chunks is None else [blocks, chunks]
        if rows.dtype.names != columns or any(one.dtype != np.uint64 or one.shape != blocks.shape for one in numbers):
            raise DamagedDatasetError(file.filename, "damaged: its checksums are none")
        found = cls(rows, blocks, chunks)
        found.check_root(file)
        return found

    def write(self, file):
        """Add the checksums, and the hash of the content, to a file that is complete otherwise; see :meth:`read`."""
        where, chunk = f"/{schema.CHECKSUMS}", (len(self._nodes),)  # PyTables would choose a hundred times this
        table = file.create_table(where, NODES, obj=self._nodes, chunkshape=chunk, createparents=True)
        for name, value in schema.column_attributes(schema.node_checksum_columns(1)).items():
            table._v_attrs[name] = value
        file.create_array(where, BLOCKS, obj=self._blocks)
        if self._chunks is not None:
            file.create_array(where, CHUNKS, obj=self._chunks)
        table.flush()
        self.sign(file)

    def sign(self, file):
        """Let the root say what the checksums say; to be called when its attributes have changed."""
        file.root._v_attrs[content_hash.ATTRIBUTE] = self.content_hash(file)
        file.root._v_attrs[schema.CHECKSUM] = f"{self.of_root(file):016x}"

    def of_root(self, file):
        """Return the checksum over the root's attributes and all other checksums."""
        root = file.root
        attributes = [entry for entry in _attributes(root, "user") if entry[0] != schema.CHECKSUM]
        facts = repr((sorted(root._v_children), attributes, self._nodes.dtype.descr))
        found = checksum(self._blocks, checksum(self._nodes, checksum(facts.encode())))
        return found if self._chunks is None else checksum(self._chunks, found)

    def content_hash(self, file):
        """Return the SHA-256 of what a file holds, as text; see :mod:`content_hash`."""
        return content_hash.sha256(file.root._v_attrs, self._nodes, self._blocks)

    # -- is a file what it was? --

    def check(self, file, sealed=True, ledger=None):
        """Raise DamagedDatasetError unless a file is in all its parts what it was when it was written.

        Images of which the ledger knows what was to be stored are not unpacked.
        """
        if sealed:
            self.check_root(file)
            if str(getattr(file.root._v_attrs, content_hash.ATTRIBUTE, "")) != self.content_hash(file):
                raise DamagedDatasetError(file.filename, f"damaged: {content_hash.ATTRIBUTE} is another's")
        self.check_nodes(file)
        for node in _nodes(file):
            if isinstance(node, tables.Leaf):
                self.check_rows(node, as_stored=ledger is not None and ledger.chunks_of(node) is not None)

    def check_root(self, file):
        """Raise DamagedDatasetError unless the root's attributes, and the checksums themselves, are what they were."""
        stated = str(getattr(file.root._v_attrs, schema.CHECKSUM, ""))
        if stated != f"{self.of_root(file):016x}":
            raise DamagedDatasetError(file.filename, "damaged: attributes of its root, or checksums, have changed")

    def check_nodes(self, file):
        """Raise DamagedDatasetError unless all nodes are there, as they were, and no others."""
        found = {node._v_pathname: node for node in _nodes(file)}
        other = found.keys() ^ self._places.keys()
        if other:
            what = "was not written with it" if min(other) in found else "is missing"
            raise DamagedDatasetError(file.filename, f"damaged: {min(other)} {what}")
        for path, node in found.items():
            row = self._nodes[self._places[path]]
            if row["description"] != _description(node):
                raise DamagedDatasetError(file.filename, f"damaged: {path}: its attributes, or type, have changed")

    def check_rows(self, node, as_stored=False):
        """Raise DamagedDatasetError unless all rows of a node are what they were, or what is stored of them is."""
        sums = self.sums(_plain(node))
        places = chunk_places(node) if as_stored and sums.chunks is not None else None
        if places is not None:
            for row, chunk in enumerate(stored_chunks(node, places)):
                if sums.of_chunk(chunk) != sums.chunks[row]:
                    sums.check(row, node[row : row + 1])
            return
        step = max(1, READ_BYTES // max(node.rowsize * sums.block, 1)) * sums.block
        for first in range(0, node.nrows, step):
            sums.check(first, node[first : first + step])

    def sums(self, node):
        """Return the NodeSums of a node of a file; raise DamagedDatasetError if it has other rows."""
        path, name = node._v_pathname, node._v_file.filename
        if path not in self._places:
            raise DamagedDatasetError(name, f"damaged: {path} was not written with it")
        place = self._places[path]
        row, end = self._nodes[place], int(self._ends[place])
        if int(row["n_rows"]) != node.nrows:
            raise DamagedDatasetError(name, f"damaged: {path}: {node.nrows} rows of {row['n_rows']} that were written")
        n_rows, block = int(row["n_rows"]), max(1, int(row["block_rows"]))
        begin = end - -(-n_rows // block)
        chunks = None if self._chunks is None else self._chunks[begin:end]
        chunks = chunks if chunks is not None and chunks.all() and are_single(node) else None
        return NodeSums(name, path, n_rows, block, _row_type(node), self._blocks[begin:end], chunks)

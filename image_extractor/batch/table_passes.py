"""Shuffle and split: rows pushed through small steps, each into the next, every row once.

A step takes blocks of rows with ``add`` and passes on what it still holds with ``finish``; the last
one is a table. Memory is bounded by BLOCK_BYTES whatever the size of the tables.
"""

import errno
import itertools

import numpy as np

from ..hdf5 import nodes
from ..hdf5.checksums import RowSums

#: Bytes of rows that are held in memory at once.
BLOCK_BYTES = 64 << 20


class Append:
    """The last step: append rows to a table."""

    def __init__(self, table):
        self._table = table

    def add(self, rows):
        """Take a block of rows."""
        nodes.append(self._table, rows)

    def finish(self):
        """Write what is left to the file."""
        self._table.flush()


class Shuffle:
    """Pass rows on in the order of their keys, which is random.

    Rows are dealt out to buckets that fit in memory each, on disk where there is more than one; then bucket after
    bucket is sorted and passed on.

    Parameters
    ----------
    target : step
    n_rows : int
        Rows that will come.
    keys : callable
        Returns 64 random bits for each of some rows, uint64 array. These depend on the rows alone: so the order does
        not depend on that in which they come, nor on the blocks.
    scratch : tables.File
        For the buckets.
    """

    def __init__(self, target, n_rows, keys, scratch):
        self._target, self._scratch, self._n_rows, self._keys = target, scratch, n_rows, keys
        self._buckets = None
        self._held = []
        self._written = []

    def add(self, rows):
        """Take a block of rows."""
        if self._buckets is None:
            self._buckets = -(-self._n_rows * rows.dtype.itemsize // BLOCK_BYTES) if len(rows) else None
            if self._buckets and self._buckets > 1:
                self._held = [self._bucket(rows.dtype) for _ in range(self._buckets)]
                self._written = [RowSums(table) for table in self._held]
        if not self._buckets or self._buckets == 1:
            self._held.append(rows)
            return
        share = self._keys(rows) / np.float64(2**64)
        bucket = np.minimum((share * self._buckets).astype(np.int64), self._buckets - 1)
        order = np.argsort(bucket, kind="stable")
        edges = np.searchsorted(bucket[order], np.arange(self._buckets + 1))
        for i, (first, last) in enumerate(itertools.pairwise(edges)):
            dealt = rows[order[first:last]]
            self._written[i].add(dealt)
            self._held[i].append(dealt)

    def _bucket(self, dtype):
        group = self._scratch.root
        name = f"bucket_{group._v_nchildren}"
        return nodes.create_table(self._scratch, group, name, dtype, nodes.filters("lz4"), {})

    def finish(self):
        """Sort and pass on the buckets."""
        if self._buckets and self._buckets > 1:
            for table, written in zip(self._held, self._written, strict=True):
                table.flush()
                rows, read = table[:], RowSums(table)
                read.add(rows)
                if not np.array_equal(read.sums(), written.sums()):  # what HDF5 could not write it does not always say
                    raise OSError(errno.EIO, "rows put aside to be shuffled are lost; is the disk full, or failing?")
                self._pass_on(rows)
                table.remove()
        elif self._held:
            self._pass_on(np.concatenate(self._held))
        self._held = []
        self._target.finish()

    def _pass_on(self, rows):
        self._target.add(rows[np.argsort(self._keys(rows), kind="stable")])


class Split:
    """Deal rows out to several steps; each step gets its rows in the order in which they come.

    Parameters
    ----------
    targets : sequence of steps
    choose : callable
        Returns the number of the target of each of some rows, int array.
    """

    def __init__(self, targets, choose):
        self._targets, self._choose = list(targets), choose

    def add(self, rows):
        """Take a block of rows."""
        chosen = self._choose(rows)
        for number, target in enumerate(self._targets):
            is_its = chosen == number
            if is_its.any():
                target.add(rows[is_its])

    def finish(self):
        """Finish every target."""
        for target in self._targets:
            target.finish()

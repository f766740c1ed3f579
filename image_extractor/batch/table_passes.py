"""Shuffle and split: rows pushed through small steps, each into the next, every row once.

A step takes blocks of rows with ``add`` and passes on what it still holds with ``finish``; the last
one is a table. Memory is bounded by BLOCK_BYTES whatever the size of the tables.
"""

import errno
import itertools
import zlib

import numpy as np

from ..hdf5 import nodes

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
    """Pass rows on in random order.

    Rows are dealt out at random to buckets that fit in memory each, on disk where there is more than
    one; then bucket after bucket is permuted and passed on. Every order is equally likely (Rao 1961,
    Sankhya A 23, 305; Sandelius 1962, J. R. Stat. Soc. B 24, 479), and depends on the seed alone, not on
    the blocks in which rows come.

    Parameters
    ----------
    target : step
    n_rows : int
        Rows that will come.
    seed : sequence of int
    scratch : tables.File
        For the buckets.
    """

    def __init__(self, target, n_rows, seed, scratch):
        self._target, self._scratch, self._n_rows = target, scratch, n_rows
        self._random = np.random.default_rng(seed)
        self._buckets = None
        self._held = []
        self._checksums = []

    def add(self, rows):
        """Take a block of rows."""
        if self._buckets is None:
            self._buckets = -(-self._n_rows * rows.dtype.itemsize // BLOCK_BYTES) if len(rows) else None
            if self._buckets and self._buckets > 1:
                self._held = [self._bucket(rows.dtype) for _ in range(self._buckets)]
                self._checksums = [0] * self._buckets
        if not self._buckets or self._buckets == 1:
            self._held.append(rows)
            return
        # one draw of 64 bits a row, so that the outcome does not depend on the size of the blocks
        bucket = (self._random.random(len(rows)) * self._buckets).astype(np.int64)
        order = np.argsort(bucket, kind="stable")
        edges = np.searchsorted(bucket[order], np.arange(self._buckets + 1))
        for i, (first, last) in enumerate(itertools.pairwise(edges)):
            dealt = rows[order[first:last]]
            self._checksums[i] = zlib.crc32(dealt, self._checksums[i])
            self._held[i].append(dealt)

    def _bucket(self, dtype):
        group = self._scratch.root
        name = f"bucket_{group._v_nchildren}"
        return nodes.create_table(self._scratch, group, name, dtype, nodes.filters("lz4"), {})

    def finish(self):
        """Permute and pass on the buckets."""
        if self._buckets and self._buckets > 1:
            for table, checksum in zip(self._held, self._checksums, strict=True):
                table.flush()
                rows = table[:]
                if zlib.crc32(rows) != checksum:  # what HDF5 could not write it does not always say
                    raise OSError(errno.EIO, "rows put aside to be shuffled are lost; is the disk full, or failing?")
                self._pass_on(rows)
                table.remove()
        elif self._held:
            self._pass_on(np.concatenate(self._held))
        self._held = []
        self._target.finish()

    def _pass_on(self, rows):
        self._target.add(rows[self._random.permutation(len(rows))])


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

"""Rows by their numbers, however they are stored: what PyTables reads, whoever reads them here."""

import os

import numpy as np
import pytest
import tables
from hypothesis import given, settings
from hypothesis import strategies as st

from image_extractor import DatasetError
from image_extractor.hdf5 import chunk_places, dataset_files, nodes, schema, stored_rows

KINDS = ["none", "lz4", "zstd", "zlib", "blosc:blosclz", "blosc:zlib", "blosc:lz4hc"]


def write(path, rows, kind, per_chunk):
    filters = nodes.filters(kind) if kind in nodes.COMPRESSORS else tables.Filters(9, kind, shuffle=True)
    with dataset_files.open_file(path, "w") as file:
        nodes.set_attributes(file.root, {"format": schema.FORMAT_NAME, "format_version": "1.3"})
        shape = (per_chunk, *rows.shape[1:])
        file.create_earray("/", "T1", obj=rows, chunkshape=shape, filters=filters)
        records = np.zeros(len(rows), [("event_number", "<i8"), ("T1", rows.dtype, rows.shape[1:])])
        records["event_number"], records["T1"] = np.arange(len(rows)), rows
        file.create_table("/", "Events", obj=records, chunkshape=(per_chunk,), filters=filters)
    return records


def images(random, n_rows, shape, dtype):
    """Return images with light on the left and noise on the right, or noise alone that no library makes smaller."""
    noise = random.integers(0, 256, (n_rows, *shape, np.dtype(dtype).itemsize), np.uint8).view(dtype)[..., 0]
    if n_rows % 2:
        return noise
    return np.where(
        np.arange(shape[0])[:, None, None] < shape[0] / 2, np.arange(shape[0])[:, None, None], noise
    ).astype(dtype)


def taken(stored, rows):
    """Return rows by their numbers as blocks give them."""
    found, expected = [], 0
    for positions, block, places in stored.blocks(rows):
        assert positions.start == expected
        assert np.all(np.diff(places) >= 0)
        expected = positions.stop
        found.append(block[places].copy())
    assert expected == len(rows)
    return np.concatenate(found) if found else np.empty(0, stored.dtype)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    per_chunk=st.integers(1, 9),
    n_rows=st.integers(1, 40),
    shape=st.sampled_from([(1, 1, 1), (5, 4, 2), (60, 50, 2), (200, 300, 1)]),
    dtype=st.sampled_from(["<u1", "<u2", "<i2", "<u4", "<f4"]),
    data=st.data(),
)
def test_any_rows_of_any_chunks(kind, per_chunk, n_rows, shape, dtype, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "o.h5"
    rows = images(np.random.default_rng(n_rows), n_rows, shape, dtype)
    records = write(path, rows, kind, per_chunk)
    chosen = np.array(sorted(data.draw(st.lists(st.integers(0, n_rows - 1), max_size=60))), np.int64)
    files = stored_rows.OpenFiles([str(path)])
    assert taken(files.rows(str(path), "/T1"), chosen).tobytes() == rows[chosen].tobytes()
    found = taken(files.rows(str(path), "/Events"), chosen)
    assert found.dtype == records.dtype
    assert found.tobytes() == records[chosen].tobytes()
    files.close()


@pytest.mark.parametrize("way", ["the library", "an older library", "no library", "a chunk that is not there"])
@pytest.mark.parametrize("kind", ["none", "lz4"])
def test_without_the_places_of_chunks_hdf5_reads(way, kind, tmp_path, monkeypatch):
    """Slower, with the same rows."""
    path = tmp_path / "o.h5"
    rows = images(np.random.default_rng(1), 30, (5, 4, 2), "<u2")
    write(path, rows, kind, 1)
    if way == "an older library":
        monkeypatch.setattr(chunk_places, "FIRST_HDF5", (99, 0))
    elif way == "no library":
        monkeypatch.setattr(chunk_places, "FIRST_HDF5", (99, 0))
        monkeypatch.setattr(chunk_places, "MAX_LOOKUPS", 29)
    elif way == "a chunk that is not there":
        with tables.open_file(path, "a") as file:
            file.root.T1.truncate(33)
        rows = np.concatenate([rows, np.zeros_like(rows[:3])])
    chunk_places._iterate.cache_clear()
    with tables.open_file(path) as file:
        there = chunk_places.chunk_places(file.root.T1)
    assert (there is None) == (way in ("no library", "a chunk that is not there"))
    files = stored_rows.OpenFiles([str(path)])
    chosen = np.arange(len(rows))[::2]
    assert taken(files.rows(str(path), "/T1"), chosen).tobytes() == rows[chosen].tobytes()
    files.close()
    monkeypatch.undo()
    chunk_places._iterate.cache_clear()


def test_more_plain_chunks_than_are_mapped(tmp_path, monkeypatch):
    path = tmp_path / "o.h5"
    rows = images(np.random.default_rng(1), 30, (5, 4, 2), "<u2")
    write(path, rows, "none", 1)
    monkeypatch.setattr(stored_rows, "MAX_MAPPED", 0)
    files = stored_rows.OpenFiles([str(path)])
    chosen = np.array([0, 3, 4, 5, 5, 29])
    assert taken(files.rows(str(path), "/T1"), chosen).tobytes() == rows[chosen].tobytes()
    files.close()


@pytest.mark.parametrize("per_chunk", [1, 4])
def test_plain_chunks_with_others_between_them(tmp_path, per_chunk):
    """Some lie one behind the other, some do not: rows are those that PyTables reads, one by one and all."""
    rows, path = images(np.random.default_rng(1), 31, (5, 4, 2), "<u2"), tmp_path / "o.h5"
    with tables.open_file(path, "w") as file:
        kind = tables.Atom.from_dtype(rows.dtype)
        mine, other = (
            file.create_earray("/", name, kind, (0, 5, 4, 2), chunkshape=(per_chunk, 5, 4, 2)) for name in ("T1", "T2")
        )
        for first, stop in ((0, 8), (8, 12), (12, 13), (13, 28), (28, 31)):
            mine.append(rows[first:stop])
            file.flush()
            other.append(rows[first:stop])
            file.flush()
    with tables.open_file(path) as file:
        places = chunk_places.chunk_places(file.root.T1)
        n_stretches = len(stored_rows.first_chunks(file.root.T1, places["offset"].astype(np.int64)))
        assert 1 < n_stretches < len(places)
        mapped = stored_rows.MappedRows(file.root.T1, np.memmap(path, mode="r"), places["offset"].astype(np.int64))
        for chosen in (np.arange(31), np.array([0, 0, 7, 8, 12, 13, 13, 30]), np.array([5]), np.arange(0, 31, 3)):
            assert taken(mapped, chosen).tobytes() == rows[chosen].tobytes()
        assert b"".join(block.tobytes() for _, block in mapped.all_blocks()) == rows.tobytes()
        firsts = [first for first, _ in mapped.all_blocks()]
        assert firsts == sorted(firsts)


@pytest.mark.parametrize("kind", ["none", "lz4", "zlib"])
def test_a_file_that_changes_while_it_is_read_is_noticed(kind, tmp_path):
    path = tmp_path / "o.h5"
    rows = images(np.random.default_rng(1), 30, (5, 4, 2), "<u2")
    write(path, rows, kind, 1)
    files = stored_rows.OpenFiles([str(path)])
    assert len(taken(files.rows(str(path), "/T1"), np.arange(5))) == 5
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(DatasetError, match=r"o\.h5: has changed since this dataset was opened"):
        files.rows(str(path), "/T1")
    files.close()


@pytest.mark.parametrize("damage", ["header", "noise", "end of the file"])
@pytest.mark.parametrize("kind", ["lz4", "zstd"])
def test_damaged_chunks_are_told_in_one_line(damage, kind, tmp_path):
    path = tmp_path / "o.h5"
    write(path, images(np.random.default_rng(1), 30, (60, 50, 2), "<u2"), kind, 1)
    with tables.open_file(path) as file:
        place = file.root.T1.chunk_info((20, 0, 0, 0))
    with path.open("r+b") as file:
        if damage == "end of the file":
            file.truncate(place.offset + 40)
        else:
            file.seek(place.offset + (0 if damage == "header" else 16))
            file.write(b"\xff" * (place.size - 16))
    with pytest.raises(DatasetError, match=r"o\.h5: [^\n]*$"):
        taken(stored_rows.OpenFiles([str(path)]).rows(str(path), "/T1"), np.arange(30))


def test_what_hdf5_reads_of_a_damaged_chunk_is_read(tmp_path):
    """The header says how long a chunk is, which HDF5 does not ask: one word of both readers for one file."""
    path = tmp_path / "o.h5"
    rows = images(np.random.default_rng(1), 30, (60, 50, 2), "<u2")
    write(path, rows, "lz4", 1)
    with tables.open_file(path) as file:
        place = file.root.T1.chunk_info((20, 0, 0, 0))
    with path.open("r+b") as file:
        file.seek(place.offset + 14)  # the length of the chunk, bits that no chunk needs
        file.write(b"\x01")
    with tables.open_file(path) as file:
        assert (file.root.T1[20] == rows[20]).all()
    assert (taken(stored_rows.OpenFiles([str(path)]).rows(str(path), "/T1"), np.arange(30)) == rows).all()

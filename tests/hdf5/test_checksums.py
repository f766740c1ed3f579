"""Checksums: of every row and attribute; what changes is named by whoever reads it; the format as the README has it."""

import shutil

import numpy as np
import pytest
import tables
import xxhash
from helpers.reading import content, without_checksums
from hypothesis import given
from hypothesis import strategies as st

from image_extractor import DatasetError, ImageExtractor
from image_extractor.batch import merge
from image_extractor.dataset import ImageDataset
from image_extractor.hdf5.checksums import RowSums
from image_extractor.viewing.dataset_check import check

SETTINGS = {
    "telescope_type_mode": "ALL", "use_pkl_dict": False, "image_scale_factor": 1, "image_mode": "PIXELS_TIMING_2C",
    "energy_bins_min": -3, "energy_bins_max": 4, "energy_bins_bin_size": 7, "parameters_store": True,
}  # fmt: skip


@pytest.fixture(scope="module", params=["mapped", "all"])
def sound(request, production, tmp_path_factory):
    """A dataset of two runs."""
    path = tmp_path_factory.mktemp("sound") / f"{request.param}.h5"
    ImageExtractor(path, None, "gh_class", storage_mode=request.param, **SETTINGS).process_files(production[:2], jobs=1)
    return path


@pytest.fixture
def dataset(sound, tmp_path):
    """A copy that a test may change."""
    return shutil.copy(sound, tmp_path / "data.h5")


def test_blocks_of_rows_as_the_readme_has_them(sound):
    """Read with PyTables and summed up with xxhash alone."""
    with tables.open_file(str(sound)) as file:
        nodes, blocks = file.root.Checksums.Nodes[:], file.root.Checksums.Blocks[:].tolist()
        leaves = {node._v_pathname for node in file.walk_nodes("/", "Leaf") if "/Checksums" not in node._v_pathname}
        assert leaves == {row["path"].decode() for row in nodes if row["block_rows"]}
        for row in nodes:
            node = file.get_node(row["path"].decode())
            n_rows, of_block = int(row["n_rows"]), int(row["block_rows"])
            if not of_block:
                assert isinstance(node, tables.Group)
                continue
            assert n_rows == node.nrows
            assert of_block == (max(1, 65536 // node.rowsize) if isinstance(node, tables.Table) else 1)
            shape = tuple(int(n) for n in node.shape[1:])
            seed = xxhash.xxh3_64_intdigest(repr((node.dtype.descr, shape)).encode())
            for first in range(0, n_rows, of_block):
                rows = np.ascontiguousarray(node[first : first + of_block])
                assert xxhash.xxh3_64_intdigest(rows.tobytes(), seed) == blocks.pop(0)
    assert not blocks


def test_chunks_as_they_are_stored(sound, tmp_path):
    """Of mapped images, read with PyTables; all others have none, nor has a file without such images."""
    with tables.open_file(str(sound)) as file:
        sums = file.root.Checksums._v_children
        if _storage(sound) == "all":
            assert "Chunks" not in sums
            return
        chunks = sums["Chunks"][:].tolist()
        assert len(chunks) == len(sums["Blocks"])
        for row in sums["Nodes"][:]:
            node, n_rows, of_block = file.get_node(row["path"].decode()), int(row["n_rows"]), int(row["block_rows"])
            found, chunks = chunks[: -(-n_rows // max(of_block, 1))], chunks[-(-n_rows // max(of_block, 1)) :]
            if not isinstance(node, tables.EArray):
                assert not any(found)
                continue
            for number, chunksum in enumerate(found):
                place = (number, *(0,) * (node.ndim - 1))
                mask = node.chunk_info(place).filter_mask
                assert xxhash.xxh3_64_intdigest(node.read_chunk(place), mask) == chunksum
    assert not chunks


def test_images_that_were_compressed_anew_are_those_that_were_written(dataset, tmp_path):
    """As ptrepack does; and datasets that do not say what is stored of their images."""
    if _storage(dataset) == "all":
        pytest.skip("images are rows of Events")
    before = without_checksums(content(dataset))
    with tables.open_file(str(dataset), "a") as file:
        for array in file.root.E0._f_iter_nodes("EArray"):
            for row in range(array.nrows):
                # uncompressed: every filter of the pipeline is said to be left out
                array.write_chunk((row, *(0,) * (array.ndim - 1)), array[row].tobytes(), 0xFFFFFFFF)
    assert not check(dataset)[0]
    merge.rewrite(dataset)
    assert without_checksums(content(dataset)) == before
    with tables.open_file(str(dataset), "a") as file:
        change_row(file.root.E0.T1)
    with pytest.raises(DatasetError, match=r"damaged: /E0/T1: row \d+: not what was written"):
        merge.rewrite(dataset)


@given(st.lists(st.integers(0, 3000), max_size=8), st.integers(1, 300))
def test_rows_may_come_in_pieces_of_any_size(pieces, row_bytes):
    rows = np.random.default_rng(1).integers(0, 256, (sum(pieces), row_bytes), np.uint8)
    rows = rows.view([("a", "u1", (row_bytes,))])[:, 0] if len(rows) else np.zeros(0, [("a", "u1", (row_bytes,))])
    with tables.open_file("x", "w", driver="H5FD_CORE", driver_core_backing_store=0) as file:
        table = file.create_table("/", "t", rows.dtype)
        at_once, in_pieces = RowSums(table), RowSums(table)
        at_once.add(rows)
        for piece in np.split(rows, np.cumsum(pieces)[:-1]) if pieces else []:
            in_pieces.add(piece)
    assert np.array_equal(at_once.sums(), in_pieces.sums())
    assert len(at_once.sums()) == -(-len(rows) // (65536 // row_bytes))


# -- what changes is named ----------------------------------------------------------------------------


def change_row(node):
    """Change one bit of one row of a table or array."""
    row = node.nrows // 2
    rows = np.array(node[row : row + 1])
    rows.view(np.uint8).reshape(-1)[7] ^= 16
    node[row : row + 1] = rows


def change_unit(node):
    name = next((name for name in node._v_attrs._f_list("user") if "UNIT" in name), None)
    node._v_attrs[name or "note"] = "furlong"


def _chunks_or_blocks(sums):
    return sums.Chunks if "Chunks" in sums else sums.Blocks


CHANGES = {
    "an image": lambda file, images: change_row(images),
    "an event": lambda file, _: change_row(file.root.E0.Events),
    "a telescope": lambda file, _: change_row(file.root.Tel_Table),
    "a run": lambda file, _: change_row(file.root.Run_Table),
    "a pixel": lambda file, _: change_row(next(file.root.Cameras._f_iter_nodes())),
    "a unit": lambda file, _: change_unit(file.root.E0.Events),
    "an attribute of a group": lambda file, _: setattr(file.root.E0._v_attrs, "min_energy", -2.0),
    "an attribute of the root": lambda file, _: setattr(file.root._v_attrs, "command_line", "another"),
    "the hash": lambda file, _: setattr(file.root._v_attrs, "content_sha256", 64 * "0"),
    "a checksum of a block": lambda file, _: change_row(file.root.Checksums.Blocks),
    "a checksum of a chunk": lambda file, _: change_row(_chunks_or_blocks(file.root.Checksums)),
    "a checksum of a node": lambda file, _: change_row(file.root.Checksums.Nodes),
    "the order of rows": lambda file, _: file.root.E0.Events.modify_rows(0, 2, rows=file.root.E0.Events[:2][::-1]),
    "a row less": lambda file, _: file.root.E0.Events.remove_rows(0, 1),
    "a node more": lambda file, _: file.create_array("/E0", "mine", [1]),
    "a node of another name": lambda file, _: file.rename_node("/E0/Events", "Events_Test"),
    "no checksums": lambda file, _: file.remove_node("/Checksums", recursive=True),
}


@pytest.mark.one_in(3)
@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_named_by_all_who_copy(what, dataset, production, make_config):
    with tables.open_file(str(dataset), "a") as file:
        CHANGES[what](file, file.root.E0.T1 if "T1" in file.root.E0 else file.root.E0.Events)
    before = dataset.read_bytes()
    problems, *_ = check(dataset)
    assert len(problems) == 1
    assert "damaged: " in problems[0]
    for action in (lambda: merge.rewrite(dataset, seed=1), lambda: merge.rewrite(dataset, split={"Training": 1.0})):
        with pytest.raises(DatasetError, match=r"data\.h5: damaged: "):
            action()
    extractor = ImageExtractor(dataset, None, "gh_class", storage_mode=_storage(dataset), **SETTINGS)
    with pytest.raises(DatasetError, match=r"data\.h5: damaged: "):
        extractor.process_files([production[2]], jobs=1)
    assert dataset.read_bytes() == before
    assert list(dataset.parent.glob("*.h5")) == [dataset]


def _storage(path):
    with tables.open_file(str(path)) as file:
        return "mapped" if any(name.startswith("T") for name in file.root.E0._v_children) else "all"


READ = ("an image", "an event", "a telescope", "a run", "a unit", "an attribute of the root", "no checksums")


@pytest.mark.one_in(3)
@pytest.mark.parametrize("what", READ)
def test_a_change_is_named_by_the_reader_if_it_is_to_verify(what, dataset):
    with ImageDataset(dataset, "Events", telescopes="LST", verify=True) as data:
        whole = data[:]
    with ImageDataset(dataset, "Events", telescopes="LST") as data:
        unverified = data[:]
    assert all(np.array_equal(whole[name], unverified[name]) for name in unverified)
    with tables.open_file(str(dataset), "a") as file:
        CHANGES[what](file, file.root.E0.T1 if "T1" in file.root.E0 else file.root.E0.Events)
    with ImageDataset(dataset, "Events", telescopes="LST") as data:
        data[:]
    with pytest.raises(DatasetError, match=r"data\.h5: damaged: "):
        ImageDataset(dataset, "Events", telescopes="LST", verify=True)[:]


@pytest.mark.one_in(4)
@pytest.mark.parametrize("compression", ["none", "lz4"])
@pytest.mark.parametrize("view", ["telescope", "event"])
@pytest.mark.parametrize("storage", ["mapped", "all"])
def test_only_what_is_read_is_verified(storage, view, compression, production, tmp_path):
    """So a reader learns of a damaged image when it asks for it, not before; any order of samples is verified."""
    path = tmp_path / "data.h5"
    extractor = ImageExtractor(
        path, None, "gh_class", storage_mode=storage, output_compression=compression, **SETTINGS
    )  # fmt: skip
    extractor.process_files(production[:3], jobs=1)
    with ImageDataset(path, "Events", view=view, telescopes="LST", columns="event_number", verify=True) as data:
        whole, n_samples = data[:], len(data)
        order = np.random.default_rng(1).permutation(n_samples)
        mixed = data[order]
        assert all(np.array_equal(mixed[name], whole[name][order]) for name in whole)
    if storage == "all":
        return  # an event more than one sample: its row is one block
    with tables.open_file(str(path), "a") as file:
        change_row(file.root.E0.T2)
    with ImageDataset(path, "Events", view=view, telescopes="LST", columns="event_number", verify=True) as data:
        fine = []
        for sample in range(n_samples):
            try:
                fine.append(np.array_equal(data[sample]["image"], whole["image"][sample]))
            except DatasetError as err:
                assert "/E0/T2: row" in str(err)  # noqa: PT017
    assert fine == [True] * (n_samples - 1)

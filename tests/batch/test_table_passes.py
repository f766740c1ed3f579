"""Shuffle and split: copies in which every row is there exactly once."""

import collections
import shutil
from pathlib import Path

import numpy as np
import pytest
import tables
from helpers.marks import quick_and_slow
from helpers.reading import content, read_dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from image_extractor import DatasetError, ImageExtractor
from image_extractor.batch import table_passes
from image_extractor.hdf5 import nodes


def fingerprints(events):
    """Return a multiset of what makes an event: ids and all its images."""
    return collections.Counter(
        (e["run_number"], e["gamma_hadron_label"], e["event_number"], *(t, p.tobytes()))
        for e in events
        for t, p in e["pixels"].items()
    )


def order(events):
    return [(e["run_number"], e["event_number"]) for e in events]


@pytest.fixture(
    scope="module",
    params=[("mapped", "gh_class"), ("all", "gh_class"), ("mapped", "energy_recon"), ("all", "energy_recon")],
)
def converted(request, production, tmp_path_factory):
    """A dataset in each way to store one."""
    storage_mode, mode = request.param
    path = tmp_path_factory.mktemp("converted") / "dataset.h5"
    extractor = ImageExtractor(
        path, None, mode, storage_mode=storage_mode, telescope_type_mode="ALL", image_scale_factor=1,
        use_pkl_dict=False, energy_bins_min=-3, energy_bins_max=4, energy_bins_bin_size=7,
        energy_recon_bins_min=-3, energy_recon_bins_max=4,
    )  # fmt: skip
    extractor.process_files([production[2]])
    return path


@pytest.fixture
def dataset(converted, tmp_path):
    """A copy that a test may change."""
    return Path(shutil.copy(converted, tmp_path / "dataset.h5"))


@pytest.fixture
def extractor(tmp_path):
    return ImageExtractor(tmp_path / "unused.h5", {}, "gh_class")


@pytest.mark.one_in(3)
@pytest.mark.parametrize("block_bytes", quick_and_slow([None, 2000], None))
def test_shuffle_and_split_keep_every_event(dataset, extractor, block_bytes, monkeypatch):
    """Also in blocks of a few rows, where the shuffle goes by way of buckets on disk."""
    if block_bytes:
        monkeypatch.setattr(table_passes, "BLOCK_BYTES", block_bytes)
    before = read_dataset(dataset)
    extractor.shuffle_data(dataset, seed=1)
    shuffled = read_dataset(dataset)
    assert fingerprints(shuffled) == fingerprints(before)
    assert order(shuffled) != order(before)
    extractor.split_data(dataset, {"Training": 0.5, "Validation": 0.3, "Test": 0.2})
    split = read_dataset(dataset)
    assert fingerprints(split) == fingerprints(before)
    n = len(before)
    sizes = collections.Counter(event["table"] for event in split)
    for name, fraction in (("Training", 0.5), ("Validation", 0.3), ("Test", 0.2)):
        assert abs(sizes[f"Events_{name}"] - fraction * n) <= 2  # a shower has two uses
    with pytest.raises(DatasetError, match="is split already"):
        extractor.split_data(dataset)


@pytest.mark.one_in(3)
def test_the_seed_decides(dataset, extractor, tmp_path):
    orders = []
    original = dataset.read_bytes()
    for seed in (1, 1, 2):
        dataset.write_bytes(original)
        extractor.shuffle_data(dataset, seed=seed)
        orders.append(order(read_dataset(dataset)))
    assert orders[0] == orders[1] != orders[2]


def test_shuffle_does_not_depend_on_the_order_nor_on_the_blocks_rows_come_in():
    rows = np.zeros(1000, [("a", "i8")])
    rows["a"] = np.arange(1000)
    keys = np.random.default_rng(5).integers(0, 2**64, 1000, np.uint64)
    outcomes = []
    for step, given_rows in ((7, rows), (1000, rows), (7, rows[::-1])):
        with tables.open_file("x", "w", driver="H5FD_CORE", driver_core_backing_store=0) as scratch:
            got = []
            target = type("Target", (), {"add": lambda self, r, got=got: got.append(r), "finish": lambda self: None})()
            shuffle = table_passes.Shuffle(target, 1000, lambda rows: keys[rows["a"]], scratch)
            shuffle_block, table_passes.BLOCK_BYTES = table_passes.BLOCK_BYTES, 800
            try:
                for first in range(0, 1000, step):
                    shuffle.add(given_rows[first : first + step])
                shuffle.finish()
            finally:
                table_passes.BLOCK_BYTES = shuffle_block
            outcomes.append(np.concatenate(got)["a"])
    for outcome in outcomes:
        assert np.array_equal(outcome, np.argsort(keys))


@pytest.mark.one_in(3)
def test_no_dead_space_is_left(dataset, extractor):
    """A removed table leaves a hole in the file; a copy has none."""
    size = dataset.stat().st_size
    for seed in range(5):
        extractor.shuffle_data(dataset, seed=seed)
    assert dataset.stat().st_size < 1.2 * size + 10_000


def test_passes_go_through_the_command_too(production, convert, make_config, extractor):
    config = make_config(storage_mode="mapped", telescope_type_mode="ALL")
    at_once = convert(production[2], config, "--shuffle", "--seed", 3, "--split", "0.9,0.1", output="at_once.h5")
    plain = convert(production[2], config, output="plain.h5")
    extractor.shuffle_data(plain, seed=3)
    extractor.split_data(plain)
    one, other = read_dataset(at_once), read_dataset(plain)
    assert [(e["table"], o) for e, o in zip(one, order(one), strict=True)] == [
        (e["table"], o) for e, o in zip(other, order(other), strict=True)
    ]
    with tables.open_file(at_once) as file:
        assert file.root._v_attrs.shuffle_seed == 3
        assert file.root._v_attrs.split == "Training 0.9, Validation 0.1"


def test_eleven_events_stay_eleven(production, convert, make_config):
    output = convert(production[2], make_config(telescope_type_mode="ALL"), "--max_events", 11, "--split")
    sizes = collections.Counter(event["table"] for event in read_dataset(output))
    assert sizes == {"Events_Training": 10, "Events_Validation": 1}


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=10)
@given(st.integers(0, 2**63 - 1))
def test_any_seed(dataset_bytes, tmp_path, seed):
    path = tmp_path / "d.h5"
    path.write_bytes(dataset_bytes)
    ImageExtractor(tmp_path / "o.h5", {}, "gh_class").shuffle_data(path, seed=seed)
    assert len(read_dataset(path)) == 6


@pytest.fixture
def dataset_bytes(production, convert, make_config):
    return convert(production[0], make_config(telescope_type_mode="LST"), "--max_events", 6).read_bytes()


@pytest.mark.one_in(3)
@pytest.mark.parametrize("fractions", [{"Training": 0.9, "Test": 0.2}, {"Train": 1.0}, {"Training": -1, "Test": 2}])
def test_wrong_fractions_leave_the_file_alone(fractions, dataset, extractor):
    before = content(dataset)
    with pytest.raises(ValueError, match="split"):
        extractor.split_data(dataset, fractions)
    assert content(dataset) == before


@pytest.mark.parametrize("what", ["text", "other HDF5", "newer", "truncated"])
def test_what_is_no_dataset_is_refused_and_untouched(what, dataset, extractor, tmp_path):
    path = tmp_path / "other.h5"
    if what == "text":
        path.write_text("hello")
    elif what == "truncated":
        path.write_bytes(dataset.read_bytes()[:-1000])
    else:
        with tables.open_file(path, "w") as file:
            if what == "newer":
                file.root._v_attrs.format, file.root._v_attrs.format_version = "image_extractor dataset", "2.0"
    before = path.read_bytes()
    with pytest.raises(DatasetError, match=r"other\.h5: "):
        extractor.shuffle_data(path)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.parts"))


def test_attributes_are_never_pickled(dataset):
    with tables.open_file(dataset) as file:
        for node in file.walk_nodes("/"):
            for name, value in nodes.user_attributes(node).items():
                assert isinstance(value, str | np.generic | np.ndarray), (node, name)

"""Reading back: every sample is what PyTables reads, whatever the layout, the order, the split or the process."""

import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tables
from hypothesis import given, settings
from hypothesis import strategies as st

from image_extractor import config, images, row_types, storage
from image_extractor.dataset import ImageDataset
from image_extractor.errors import DatasetError, MissingNameError
from image_extractor.event_weights import CRAB, PROTONS, EventWeight, PowerLaw, simulated_flux
from image_extractor.merge import rewrite

TEL_IDS = (2, 5, 9)
N_EVENTS = 60
SHAPE = (4, 3)

VARIANTS = {
    "mapped": {},
    "all": {"storage_mode": "all"},
    "mapped compressed": {"output_compression": "zstd"},
    "all compressed": {"storage_mode": "all", "output_compression": "lz4"},
    "energy_recon": {"mode": "energy_recon"},
    "energy_recon all": {"mode": "energy_recon", "storage_mode": "all"},
    "channels_first": {"image_dim_order": "channels_first"},
    "all channels_first": {"storage_mode": "all", "image_dim_order": "channels_first"},
    "different scales": {"image_time_scale": 25.0, "image_dtype": "int16"},
    "32 bits": {"image_dtype": "uint32", "image_charge_scale": 1000.0},
    "float32": {"image_dtype": "float32"},
}


def made_settings(**keywords):
    defaults = {
        "mode": "gh_class",
        "storage_mode": "mapped",
        "use_pkl_dict": False,
        "image_mode": "PIXELS_TIMING_3C",
        "image_scale_factor": 1,
        "output_compression": "none",
        "energy_bins_min": -1.0,
        "energy_bins_max": 1.0,
        "energy_bins_bin_size": 1.0,
        "energy_recon_bins_min": -1.0,
        "energy_recon_bins_max": 1.0,
        "energy_recon_bins_bin_size": 1.0,
    }
    return config.from_keywords(defaults | keywords)


def write_dataset(path, seed=0, n_events=N_EVENTS, run=1, primary=0, tel_ids=TEL_IDS, cone=(0.0, 0.0), **keywords):
    """Write a dataset of random numbers with the package's own nodes: every image is different."""
    made = made_settings(**keywords)
    random = np.random.default_rng(seed)
    grid = images.PixelGrid(SHAPE, np.arange(12) // 3, np.arange(12) % 3, 0.0, np.arange(12.0), np.arange(12.0))
    grids = dict.fromkeys(tel_ids, grid)
    columns = row_types.event_columns(made, grids)
    bins = config.energy_bins(made)
    events = np.zeros(n_events, row_types.dtype(columns))
    events["run_number"], events["gamma_hadron_label"] = run, primary
    events["event_number"] = 100 * np.repeat(np.arange(n_events), 3)[:n_events] + np.arange(n_events) % 3
    for name, low, high in (("core_x", -300, 300), ("core_y", -300, 300), ("az", -3, 3), ("alt", 1, 1.5)):
        events[name] = random.uniform(low, high, n_events)
    events["mc_energy"] = 10 ** random.uniform(-1, 1, n_events)
    energy_bin = bins.find(events["mc_energy"])
    has = random.random((n_events, len(tel_ids))) < 0.6
    has[::7] = False  # events without any of the telescopes
    image = made["image"]
    attributes = {key if key != "mode" else "image_mode": image[key] for key in image if key != "shape"}
    if image["dtype"] == "float32":
        attributes |= {"charge_scale": 1.0, "time_scale": 1.0}
    filters = storage.filters(made["output"]["compression"])
    with storage.open_file(path, "w") as file:
        storage.set_attributes(
            file.root, {"format": row_types.FORMAT_NAME, "format_version": "1.0", "config": config.dumps(made)}
        )
        tel_table = np.zeros(len(tel_ids), row_types.dtype(row_types.TEL_COLUMNS))
        tel_table["tel_id"], tel_table["tel_type"], tel_table["camera"] = tel_ids, b"LST", b"LSTCam"
        tel_table["tel_type"][-1], tel_table["camera"][-1] = b"MST", b"NectarCam"
        for axis in ("tel_x", "tel_y", "tel_z"):
            tel_table[axis] = random.uniform(-100, 100, len(tel_ids))
        storage.create_table(file, "/", "Tel_Table", tel_table.dtype, filters, {}).append(tel_table)
        storage.create_table(file, "/Cameras", "LSTCam", np.dtype([("pixel_id", "<i4")]), filters, {})
        row = np.zeros(1, row_types.dtype(row_types.RUN_COLUMNS))
        for name, value in (
            ("file_name", b"run.simtel"),
            ("run_number", run),
            ("primary", primary),
            ("energy_range_min", 0.1),
            ("energy_range_max", 10.0),
            ("spectral_index", -2.0),
            ("n_showers", 1000),
            ("shower_reuse", 3),
            ("max_scatter_range", 500.0),
            ("min_viewcone_radius", cone[0]),
            ("max_viewcone_radius", cone[1]),
            ("events_written", n_events),
        ):
            row[name] = value
        storage.create_table(file, "/", "Run_Table", row.dtype, filters, {}).append(row)
        recon = made["mode"] == "energy_recon"
        if recon:
            events["energy_reconstruction_bin_label"] = energy_bin
            storage.set_attributes(file.root, {"energy_bin_edges": bins.edges})
        for number, group in enumerate(row_types.energy_groups(made, bins.n_bins)):
            chosen = slice(None) if recon else energy_bin == number
            write_group(file, f"/{group}", events[chosen], has[chosen], grids, made, attributes, filters, random)
    return Path(path)


def write_group(file, path, events, has, grids, made, attributes, filters, random):
    image = made["image"]
    mapped = made["storage_mode"] == "mapped"
    if mapped:
        events["tel_map"] = -1
    else:
        events["trig_list"] = has
    for position, (tel_id, grid) in enumerate(grids.items()):
        shape = images.array_shape(grid, image)
        n = int(has[:, position].sum())
        high = 1000 if image["dtype"] == "float32" else min(np.iinfo(image["dtype"]).max, 2**31)
        stored = random.uniform(0, high, (n, *shape)).astype(image["dtype"])
        if mapped:
            array = storage.create_image_array(
                file, path, row_types.image_name(tel_id), image["dtype"], shape, filters, attributes
            )
            array.append(stored)
            # shuffled, as the tables of a dataset are
            events["tel_map"][has[:, position], position] = random.permutation(n)
        else:
            events[row_types.image_name(tel_id)][has[:, position]] = stored
    storage.create_table(file, path, "Events", events.dtype, filters, attributes).append(events)


@pytest.fixture(scope="module", params=VARIANTS)
def dataset_path(request, tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("variants") / "data.h5", **VARIANTS[request.param])


@pytest.fixture(scope="module")
def mapped_path(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("mapped") / "data.h5")


def plain_images(path, table="Events"):
    """Return {(obs_id, event_id, primary, tel_id): image} as PyTables reads them, (x, y, channel), scales undone."""
    found = {}
    with tables.open_file(str(path)) as file:
        tel_ids = file.root.Tel_Table.col("tel_id").tolist()
        for group in [file.root.E0, file.root.E1] if "E0" in file.root else [file.root]:
            node = group._f_get_child(table)
            attributes = node._v_attrs
            scales = np.array([attributes["charge_scale"], attributes["time_scale"], 1.0])
            for row in node[:]:
                for position, tel_id in enumerate(tel_ids):
                    image = plain_image(group, row, position, tel_id)
                    if image is None:
                        continue
                    if attributes["dim_order"] == "channels_first":
                        image = np.moveaxis(image, 0, -1)
                    key = row["run_number"], row["event_number"], row["gamma_hadron_label"], tel_id
                    found[tuple(map(int, key))] = (image.astype(np.float64) / scales).astype(np.float32)
    return found


def plain_image(group, row, position, tel_id):
    if "tel_map" in row.dtype.names:
        place = row["tel_map"][position]
        return None if place < 0 else group._f_get_child(f"T{tel_id}")[int(place)]
    return row[f"T{tel_id}"] if row["trig_list"][position] else None


def keys_of(batch):
    columns = (batch[name] for name in ("obs_id", "event_id", "primary", "tel_id"))
    return list(zip(*(column.tolist() for column in columns), strict=True))


def assert_batch(batch, expected):
    """Check that the images of a batch are those that its labels name."""
    for image, key in zip(batch["image"], keys_of(batch), strict=True):
        assert image.flags.c_contiguous
        np.testing.assert_array_equal(image, expected[key])


# -- agreement -------------------------------------------------------------------------------------------


def test_every_sample_is_what_pytables_reads(dataset_path):
    expected = plain_images(dataset_path)
    with ImageDataset(dataset_path, table="Events") as dataset:
        assert len(dataset) == len(expected) > N_EVENTS
        batch = dataset[:]
        assert batch["image"].dtype == np.float32
        assert set(keys_of(batch)) == set(expected)
        assert_batch(batch, expected)


def test_event_view_has_all_images_of_each_event(dataset_path):
    expected = plain_images(dataset_path)
    with ImageDataset(dataset_path, table="Events", view="event") as dataset:
        batch = dataset[np.random.default_rng(1).permutation(len(dataset))]
        positions = np.stack([dataset.telescopes[axis] for axis in ("tel_x", "tel_y", "tel_z")], axis=-1)
    seen = 0
    for i, (obs_id, event_id, primary) in enumerate(
        zip(batch["obs_id"].tolist(), batch["event_id"].tolist(), batch["primary"].tolist(), strict=True)
    ):
        np.testing.assert_array_equal(batch["tel_position"][i], positions)
        assert batch["tel_id"][i].tolist() == list(TEL_IDS)
        assert batch["mask"][i].any()
        for tel, tel_id in enumerate(TEL_IDS):
            key = obs_id, event_id, primary, tel_id
            assert batch["mask"][i, tel] == (key in expected)
            np.testing.assert_array_equal(batch["image"][i, tel], expected.get(key, np.zeros((*SHAPE, 3))))
            seen += key in expected
    assert seen == len(expected)


def test_after_shuffle_and_split_tables_are_what_pytables_reads(dataset_path, tmp_path):
    path = tmp_path / "split.h5"
    path.write_bytes(dataset_path.read_bytes())
    whole = plain_images(path)
    with storage.open_file(path, "a") as file:  # what the merge asks of a dataset
        file.root.Cameras.LSTCam.append(np.zeros(1, [("pixel_id", "<i4")]))
    rewrite(path, seed=3, split={"Training": 0.7, "Validation": 0.2, "Test": 0.1})
    seen = []
    for table in ("Training", "Validation", "Test"):
        expected = plain_images(path, f"Events_{table}")
        with ImageDataset(path, table=table) as dataset:
            batch = dataset[:]
            assert set(keys_of(batch)) == set(expected)
            assert_batch(batch, expected)
        seen += keys_of(batch)
    assert sorted(seen) == sorted(whole)


numbers = st.integers(-90, 89)
index_sets = st.one_of(
    st.lists(numbers, max_size=40),
    st.lists(numbers, max_size=40).map(lambda values: np.array(values, np.int64)),
    st.slices(90),
)


@pytest.fixture(scope="module")
def opened(dataset_path):
    with ImageDataset(dataset_path, table="Events") as dataset:
        yield dataset.select(np.arange(90)), plain_images(dataset_path)


@settings(max_examples=40, deadline=None)
@given(index_sets)
def test_any_set_of_samples_in_any_order(opened, key):
    dataset, expected = opened
    wanted = np.arange(90)[key if isinstance(key, slice) else np.asarray(key, np.int64)]
    everything = dataset.labels(("obs_id", "event_id", "primary", "tel_id"))
    batch = dataset[key]
    assert keys_of(batch) == [keys_of(everything)[number] for number in wanted]
    assert_batch(batch, expected)
    assert all(values.flags.c_contiguous for values in batch.values())


@settings(max_examples=20, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=10))
def test_a_list_of_samples_is_read_as_one_batch(opened, key):
    dataset, _ = opened
    batch = dataset[key]
    for i, (sample, number) in enumerate(zip(dataset.__getitems__(key), key, strict=True)):
        for name, values in dataset[number].items():
            np.testing.assert_array_equal(values, batch[name][i])
            np.testing.assert_array_equal(sample[name], batch[name][i])


def test_batches_that_are_held_are_never_overwritten(mapped_path):
    dataset = ImageDataset(mapped_path, table="Events")
    expected = plain_images(mapped_path)
    for batch in list(dataset.batches(7, shuffle=True)):
        assert_batch(batch, expected)
    kept = [dataset[number]["image"] for number in range(30)]
    keys = keys_of(dataset.labels(samples=slice(30)))
    for image, key in zip(kept, keys, strict=True):
        np.testing.assert_array_equal(image, expected[key])


@pytest.mark.parametrize("storage_mode", ["mapped", "all"])
@pytest.mark.parametrize("options", [(), ("--shuffle", "--split", "0.6,0.4")])
def test_datasets_of_the_command(production, make_config, convert, storage_mode, options):
    made = {"storage_mode": storage_mode, "telescope_type_mode": "LST", "image_mode": "PIXELS_TIMING_2C"}
    path = convert(production[0].with_name("*.simtel*"), make_config(**made, output_compression="none"), *options)
    n_seen = 0
    for table in ("Training", "Validation") if options else ("Events",):
        expected = {}
        with tables.open_file(str(path)) as file:
            node = file.root.E0._f_get_child("Events" if not options else f"Events_{table}")
            for row in node[:]:
                for position, tel_id in enumerate(file.root.Tel_Table.col("tel_id").tolist()):
                    image = plain_image(file.root.E0, row, position, tel_id)
                    if image is not None:
                        key = row["run_number"], row["event_number"], row["gamma_hadron_label"], tel_id
                        expected[tuple(map(int, key))] = (image / 100.0).astype(np.float32)
        with ImageDataset(path, table=table) as dataset:
            assert sorted(keys_of(dataset.labels())) == sorted(expected)
            assert_batch(dataset[:], expected)
            n_seen += len(dataset)
            assert dataset.runs["images"].sum() == n_seen or table == "Training"


# -- choices ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", ["time", ["charge"], [1, 0], [0, 2], ("time", "charge", "time"), [2, 0, 1]])
@pytest.mark.parametrize(
    "variant", ["mapped", "all channels_first", "mapped compressed", "different scales", "32 bits"]
)
def test_channels(tmp_path, channels, variant):
    path = write_dataset(tmp_path / "data.h5", **VARIANTS[variant])
    names = ["charge", "time", "empty"]
    given = [channels] if isinstance(channels, str) else channels
    chosen = [names.index(channel) if isinstance(channel, str) else channel for channel in given]
    dataset = ImageDataset(path, table="Events", channels=channels)
    assert dataset.channel_names == [names[channel] for channel in chosen]
    expected = {key: image[..., chosen] for key, image in plain_images(path).items()}
    assert_batch(dataset[::-1], expected)


def test_stored_numbers_and_other_types(mapped_path):
    raw = ImageDataset(mapped_path, table="Events", dtype=None)[:]["image"]
    assert raw.dtype == np.uint16
    scales = np.array([100.0, 100.0, 1.0])
    np.testing.assert_array_equal(ImageDataset(mapped_path, table="Events", dtype="f8")[:]["image"], raw / scales)
    half = ImageDataset(mapped_path, table="Events", dtype="float16", channels=[0, 1])[:]["image"]
    np.testing.assert_array_equal(half, (raw / scales)[..., :2].astype(np.float16))


@pytest.mark.parametrize(
    ("telescopes", "tel_ids"),
    [(None, {2, 5, 9}), (5, {5}), ([2, 9], {2, 9}), ("LST", {2, 5}), ("NectarCam", {9}), ("lst+MST", {2, 5, 9})],
)
def test_telescopes(mapped_path, telescopes, tel_ids):
    batch = ImageDataset(mapped_path, table="Events", telescopes=telescopes)[:]
    expected = plain_images(mapped_path)
    assert set(keys_of(batch)) == {key for key in expected if key[-1] in tel_ids}
    assert_batch(batch, expected)
    events = ImageDataset(mapped_path, table="Events", telescopes=telescopes, view="event")
    assert len(events) == len({key[:3] for key in keys_of(batch)})


@pytest.mark.parametrize("mode", ["gh_class", "energy_recon"])
@pytest.mark.parametrize("view", ["telescope", "event"])
def test_bins(tmp_path, mode, view):
    path = write_dataset(tmp_path / "data.h5", mode=mode)
    columns = ("energy_bin", "energy", "event_id")
    whole = ImageDataset(path, table="Events", view=view, columns=columns)
    for bins, number in ((0, 0), ("E1", 1), ([1], 1)):
        labels = ImageDataset(path, table="Events", view=view, bins=bins, columns=columns).labels()
        assert set(labels["energy_bin"].tolist()) == {number}
        assert ((labels["energy"] >= 1) == (number == 1)).all()
        assert len(labels["energy"]) == (whole.labels()["energy_bin"] == number).sum()


def test_columns_are_the_truth(mapped_path):
    names = (
        "event_number",
        "mc_energy",
        "log10_energy",
        "core",
        "direction",
        "is_gamma",
        "h_first_int",
        "tel_position",
    )
    batch = ImageDataset(mapped_path, table="Events", columns=(*names, "tel_id", "core_x"))[:]
    with tables.open_file(str(mapped_path)) as file:
        rows = {int(row["event_number"]): row for group in (file.root.E0, file.root.E1) for row in group.Events[:]}
        tels = {int(row["tel_id"]): row for row in file.root.Tel_Table[:]}
    for i, event_id in enumerate(batch["event_number"].tolist()):
        row, tel = rows[event_id], tels[int(batch["tel_id"][i])]
        assert batch["log10_energy"][i] == pytest.approx(np.log10(row["mc_energy"]), abs=1e-6)
        assert batch["core"][i].tolist() == [row["core_x"], row["core_y"]]
        assert batch["direction"][i].tolist() == [row["alt"], row["az"]]
        assert batch["tel_position"][i].tolist() == [tel["tel_x"], tel["tel_y"], tel["tel_z"]]
    assert (batch["is_gamma"] == 1).all()


def test_impact_distance_is_ctapipes(mapped_path):
    coordinates = pytest.importorskip("ctapipe.coordinates")
    u = pytest.importorskip("astropy.units")
    columns = ("impact", "core", "direction", "tel_position")
    batch = ImageDataset(mapped_path, table="Events", columns=columns)[:]
    for impact, core, (alt, az), position in zip(*(batch[name] for name in columns), strict=True):
        direction = [np.cos(alt) * np.cos(az), -np.cos(alt) * np.sin(az), np.sin(alt)]
        point = np.array([*core, 0.0]) * u.m
        expected = coordinates.impact_distance(point, np.array(direction), position[None].astype(float) * u.m)
        assert impact == pytest.approx(expected.to_value("m")[0], rel=1e-4, abs=1e-2)


def test_transform_gets_batches(mapped_path):
    dataset = ImageDataset(mapped_path, table="Events", transform=halved)
    plain = ImageDataset(mapped_path, table="Events")
    np.testing.assert_array_equal(dataset[3]["image"] * 2, plain[3]["image"])
    blocks = dataset.batches(8, shuffle="blocks", block=16, buffer=32)
    expected = {key: image / 2 for key, image in plain_images(mapped_path).items()}
    for batch in blocks:
        assert_batch(batch, expected)


def halved(batch):
    assert batch["image"].ndim == 4
    return batch | {"image": batch["image"] / 2}


# -- orders, splits, several files -----------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [False, True, "random", "blocks"])
@pytest.mark.parametrize("n_shards", [1, 3])
def test_an_epoch_has_every_sample_once(dataset_path, shuffle, n_shards):
    expected = plain_images(dataset_path)
    with ImageDataset(dataset_path, table="Events") as dataset:

        def epoch(seed, number):
            batches = []
            for shard in range(n_shards):
                options = {"shard": (shard, n_shards), "block": 8, "buffer": 24}
                batches += dataset.batches(10, shuffle=shuffle, seed=seed, epoch=number, **options)
            return batches

        first = epoch(1, 0)
        for batch in first:
            assert_batch(batch, expected)
        keys = [key for batch in first for key in keys_of(batch)]
        assert sorted(keys) == sorted(expected)
        assert [keys_of(batch) for batch in epoch(1, 0)] == [keys_of(batch) for batch in first]
        for seed, number in ((1, 1), (2, 0)):
            same = [key for batch in epoch(seed, number) for key in keys_of(batch)] == keys
            assert same == (shuffle is False)


def test_blocks_stay_together_in_the_buffer(mapped_path):
    dataset = ImageDataset(mapped_path, table="Events").select(slice(64))
    order = {key: i for i, key in enumerate(keys_of(dataset.labels()))}
    batches = list(dataset.batches(8, shuffle="blocks", block=8, buffer=16))
    assert len(batches) == 8
    for first, second in zip(batches[0::2], batches[1::2], strict=True):
        numbers = [order[key] for batch in (first, second) for key in keys_of(batch)]
        assert len({number // 8 for number in numbers}) == 2
        assert len({number // 8 for number in numbers[:8]}) == 2  # and the blocks are mixed


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 9))
def test_split_shares_out_showers(mapped_path, seed, tenths):
    fractions = {"Training": tenths / 10, "Validation": 1 - tenths / 10}
    parts, showers = {}, {}
    for view in ("telescope", "event"):
        dataset = ImageDataset(mapped_path, table="Events", view=view)
        parts[view] = dataset.split(fractions, seed=seed)
        assert sum(map(len, parts[view].values())) == len(dataset)
        showers[view] = {name: set(part.labels()["event_id"] // 100) for name, part in parts[view].items()}
        assert not showers[view]["Training"] & showers[view]["Validation"]
    assert showers["telescope"] == showers["event"]
    n_showers = N_EVENTS // 3
    assert abs(len(showers["event"]["Training"]) - tenths / 10 * n_showers) <= 0.5 + N_EVENTS / 21
    expected = plain_images(mapped_path)
    for part in parts["telescope"].values():
        assert_batch(part[:], expected)


def test_several_files_are_one_dataset(tmp_path):
    first = write_dataset(tmp_path / "gammas.h5", seed=1, run=1)
    second = write_dataset(
        tmp_path / "protons.h5", seed=2, run=1, primary=101, storage_mode="all", image_charge_scale=7.0
    )
    expected = plain_images(first) | plain_images(second)
    dataset = ImageDataset([first, second], table="Events")
    assert len(dataset) == len(expected)
    assert len(dataset.runs) == 2
    seen = []
    for batch in dataset.batches(16, shuffle=True, seed=5):
        assert_batch(batch, expected)
        seen += keys_of(batch)
    assert sorted(seen) == sorted(expected)
    with pytest.raises(DatasetError, match="charge_scale"):
        ImageDataset([first, second], table="Events", dtype=None)


def test_files_that_do_not_fit_are_named(tmp_path, mapped_path):
    other = write_dataset(tmp_path / "other.h5", image_mapping="axial")
    with pytest.raises(DatasetError, match=r"other.h5: made with mapping = axial, .*data.h5 with shifting"):
        ImageDataset([mapped_path, other], table="Events")
    fewer = write_dataset(tmp_path / "fewer.h5", tel_ids=(2, 5))
    with pytest.raises(DatasetError, match=r"fewer.h5: other telescopes than .*data.h5"):
        ImageDataset([mapped_path, fewer], table="Events", view="event")
    assert ImageDataset([mapped_path, fewer], table="Events", view="event", telescopes=2)


# -- weights ---------------------------------------------------------------------------------------------


def test_class_weights_balance_the_classes(tmp_path):
    paths = [write_dataset(tmp_path / f"{n}.h5", primary=p, n_events=n) for n, p in ((60, 0), (15, 101))]
    dataset = ImageDataset(paths, table="Events", columns=("primary", "class_weight"))
    labels = dataset.labels()
    sums = [labels["class_weight"][labels["primary"] == primary].sum() for primary in (0, 101)]
    assert sums == pytest.approx([len(dataset) / 2] * 2, rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, -0.5), st.floats(0.01, 0.5), st.floats(1, 100))
def test_simulated_flux_integrates_to_the_showers(index, low, high):
    run = np.zeros(2, row_types.dtype(row_types.RUN_COLUMNS))
    for name, value in (("n_showers", 500), ("shower_reuse", 4), ("max_scatter_range", 100), ("min_scatter_range", 50)):
        run[name] = value
    run["energy_range_min"], run["energy_range_max"], run["spectral_index"] = low, high, index
    run["max_viewcone_radius"] = 5
    energy = np.geomspace(run["energy_range_min"][0], run["energy_range_max"][0], 20001)
    area = np.pi * (100**2 - 50**2)
    solid_angle = 2 * np.pi * (1 - np.cos(np.radians(5)))
    assert np.trapezoid(simulated_flux(energy, run, diffuse=False), energy) * area == pytest.approx(4000, rel=1e-3)
    diffuse = np.trapezoid(simulated_flux(energy, run, diffuse=True), energy) * area * solid_angle
    assert diffuse == pytest.approx(4000, rel=1e-3)


def test_event_weights_are_target_over_simulation(tmp_path):
    paths = [
        write_dataset(tmp_path / "gammas.h5"),
        write_dataset(tmp_path / "protons.h5", primary=101, cone=(0.0, 5.0)),
    ]
    hour = EventWeight({0: CRAB, 101: PROTONS}, time=3600.0, name="hour")
    labels = ImageDataset(paths, table="Events", columns=("event_weight", hour, "energy", "primary")).labels()
    np.testing.assert_allclose(labels["hour"], 3600 * labels["event_weight"])
    energy = labels["energy"].astype(np.float64)
    simulated = 3000 * energy**-2 / (1 / 0.1 - 1 / 10) / (np.pi * 500**2)
    gamma = labels["primary"] == 0
    np.testing.assert_allclose(labels["event_weight"][gamma], (CRAB(energy) / simulated)[gamma], rtol=1e-5)
    cone = 2 * np.pi * (1 - np.cos(np.radians(5)))
    np.testing.assert_allclose(labels["event_weight"][~gamma], (PROTONS(energy) * cone / simulated)[~gamma], rtol=1e-5)


def test_weights_that_can_not_be_are_refused(tmp_path):
    helium = write_dataset(tmp_path / "helium.h5", primary=402)
    with pytest.raises(DatasetError, match="no target spectrum for primary 402"):
        ImageDataset(helium, table="Events", columns=("event_weight",))
    point = write_dataset(tmp_path / "point.h5")
    diffuse = EventWeight({0: PowerLaw(1.0, -2.7, diffuse=True)})
    with pytest.raises(DatasetError, match="no view cone"):
        ImageDataset(point, table="Events", columns=(diffuse,))


# -- what is wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"table": "Training"}, "no table 'Training'; it has: Events"),
        ({"table": "Event"}, "no table 'Event'; nearest: Events"),
        ({"telescopes": "LTS"}, "no telescope 'LTS'; nearest: LST"),
        ({"telescopes": 3}, "no telescope 3; it has: LST, MST, LSTCam, NectarCam, 2, 5, 9"),
        ({"bins": 7}, "no energy bin 'E7'; nearest: E"),
        ({"columns": ("log_energy",)}, "no column 'log_energy'; nearest: log10_energy"),
        ({"channels": "chrge"}, "no channel 'chrge'; nearest: charge"),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest(mapped_path, arguments, message):
    with pytest.raises(MissingNameError) as caught:
        ImageDataset(mapped_path, **{"table": "Events", **arguments})
    assert isinstance(caught.value, KeyError)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value).startswith(f"{mapped_path}: {message}")
    assert "\n" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # workers hand errors on


@pytest.mark.parametrize("arguments", [{"view": "stereo"}, {"dtype": "uint16"}, {"channels": []}])
def test_a_wrong_value_is_refused(mapped_path, arguments):
    with pytest.raises(ValueError, match=r"must be|choose"):
        ImageDataset(mapped_path, table="Events", **arguments)


def test_wrong_samples_are_refused(mapped_path):
    dataset = ImageDataset(mapped_path, table="Events")
    for outside in (len(dataset), -len(dataset) - 1, [0, len(dataset)]):
        with pytest.raises(IndexError):
            dataset[outside]
    for wrong in ("first", 1.5, [[1, 2]], np.ones(3, bool)):
        with pytest.raises((TypeError, IndexError)):
            dataset[wrong]
    mask = np.zeros(len(dataset), bool)
    mask[[4, 7]] = True
    np.testing.assert_array_equal(dataset[mask]["image"], dataset[[4, 7]]["image"])


def test_no_dataset_and_no_file(tmp_path):
    with pytest.raises(DatasetError, match="no such file"):
        ImageDataset(tmp_path / "absent.h5")
    with tables.open_file(str(tmp_path / "other.h5"), "w"):
        pass
    with pytest.raises(DatasetError, match="not an image_extractor dataset"):
        ImageDataset(tmp_path / "other.h5")
    with pytest.raises(DatasetError, match="at least one"):
        ImageDataset([])


def test_images_of_several_shapes_are_refused(tmp_path, mapped_path):
    path = tmp_path / "two.h5"
    path.write_bytes(mapped_path.read_bytes())
    with tables.open_file(str(path), "a") as file:
        for group in (file.root.E0, file.root.E1):
            group.T9.remove()
            file.create_earray(group, "T9", tables.UInt16Atom(), (0, 8, 8, 3))
    with pytest.raises(DatasetError, match=r"two.h5: images of different shapes \(.*8x8x3\): choose telescopes"):
        ImageDataset(path, table="Events")
    assert len(ImageDataset(path, table="Events", telescopes="LST"))


@pytest.mark.parametrize("storage_mode", ["mapped", "all"])
@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("view", ["telescope", "event"])
def test_empty(tmp_path, storage_mode, compression, view):
    path = write_dataset(tmp_path / "e.h5", n_events=0, storage_mode=storage_mode, output_compression=compression)
    dataset = ImageDataset(path, table="Events", view=view)
    assert len(dataset) == 0
    assert list(dataset.batches(4, shuffle=True)) == list(dataset.batches(4, shuffle="blocks")) == []
    assert dataset[:]["image"].shape[-3:] == (*SHAPE, 3)
    assert len(dataset[[]]["impact"]) == 0
    assert [len(part) for part in dataset.split({"Training": 0.5, "Test": 0.5}).values()] == [0, 0]


def test_a_file_that_was_replaced_is_noticed(tmp_path):
    path = write_dataset(tmp_path / "data.h5", output_compression="zstd")
    dataset = pickle.loads(pickle.dumps(ImageDataset(path, table="Events")))
    write_dataset(tmp_path / "new.h5", seed=9).replace(path)
    with pytest.raises(DatasetError, match="has changed"):
        dataset[0]


# -- processes and frameworks ----------------------------------------------------------------------------


def test_pickled_datasets_read_the_same(dataset_path):
    dataset = ImageDataset(dataset_path, table="Events")
    dataset[0]
    again = pickle.loads(pickle.dumps(dataset.select(np.arange(50)[::-1])))
    for name, values in dataset[np.arange(50)[::-1]].items():
        np.testing.assert_array_equal(again[:][name], values)
    dataset.close()
    assert_batch(dataset[:5], plain_images(dataset_path))  # opens again
    dataset.close()
    again.close()


def test_forked_processes_read_at_once(dataset_path):
    dataset = ImageDataset(dataset_path, table="Events")
    expected = dataset[:]["image"].copy()
    children = [os.fork() for _ in range(1)]
    if children[0] == 0:
        same = all(np.array_equal(dataset[i]["image"], expected[i]) for i in range(len(dataset)))
        os._exit(0 if same else 1)
    for _ in range(3):
        np.testing.assert_array_equal(dataset[:]["image"], expected)
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    dataset.close()


WITHOUT_OTHERS = (
    "import sys, json\n"
    "class Refuse:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name.split('.')[0] in ('ctapipe', 'astropy', 'scipy', 'configobj', 'torch', 'tensorflow',\n"
    "                                  'eventio', 'matplotlib'):\n"
    "            raise ImportError(name)\n"
    "sys.meta_path.insert(0, Refuse())\n"
    "from image_extractor.dataset import ImageDataset\n"
    "print(json.dumps(len(ImageDataset(sys.argv[1], table='Events'))))\n"
)


def test_reads_without_ctapipe_or_frameworks(mapped_path):
    done = subprocess.run([sys.executable, "-c", WITHOUT_OTHERS, mapped_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == len(plain_images(mapped_path))


HAS_TORCH = importlib.util.find_spec("torch") is not None
HAS_TF = importlib.util.find_spec("tensorflow") is not None


def torch_keys(batches):
    return [key for batch in batches for key in keys_of(batch)]


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
@pytest.mark.parametrize(("workers", "context"), [(0, None), (2, "fork"), (2, "spawn")])
@pytest.mark.parametrize("variant", ["mapped", "all compressed"])
def test_data_loader_sees_every_sample_once(tmp_path, workers, context, variant):
    from torch.utils.data import DataLoader

    path = write_dataset(tmp_path / "data.h5", **VARIANTS[variant])
    expected = plain_images(path)
    dataset = ImageDataset(path, table="Events")
    dataset[0]  # open before the workers come
    common = {"num_workers": workers, "multiprocessing_context": context}
    epochs = {
        "plain": DataLoader(dataset, batch_size=16, shuffle=True, **common),
        "torch": DataLoader(dataset.as_torch(), batch_size=16, shuffle=True, **common),
        "blocks": DataLoader(
            dataset.as_torch(16, shuffle="blocks", block=8, buffer=24, seed=2), batch_size=None, **common
        ),
    }
    for name, loader in epochs.items():
        batches = list(loader)
        assert sorted(torch_keys(batches)) == sorted(expected), name
        for batch in batches:
            image = batch["image"].numpy()
            image = image if name == "plain" else np.moveaxis(image, 1, -1)
            for one, key in zip(image, keys_of(batch), strict=True):
                np.testing.assert_array_equal(one, expected[key])
    dataset.close()


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
def test_epochs_reach_workers_that_live_on(mapped_path):
    from torch.utils.data import DataLoader

    batches = ImageDataset(mapped_path, table="Events").as_torch(16, shuffle=True, seed=2)
    loader = DataLoader(batches, batch_size=None, num_workers=1, persistent_workers=True)
    orders = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        orders.append(torch_keys(loader))
    assert orders[0] == orders[2] != orders[1]


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
def test_torch_images_are_channels_first_without_a_copy(mapped_path):
    import torch

    dataset = ImageDataset(mapped_path, table="Events").as_torch()
    assert dataset[0]["image"].shape == (3, *SHAPE)
    (batch,) = dataset.__getitems__([0, 1, 2])
    assert batch["image"].shape == (3, 3, *SHAPE)
    assert batch["image"].is_contiguous(memory_format=torch.channels_last)
    events = ImageDataset(mapped_path, table="Events", view="event").as_torch()
    assert events[0]["image"].shape == (3, 3, *SHAPE)


@pytest.mark.skipif(not HAS_TF, reason="tensorflow is not installed")
def test_tf_dataset_has_every_sample_once(mapped_path):
    expected = plain_images(mapped_path)
    dataset = ImageDataset(mapped_path, table="Events").as_tf(16, shuffle=True)
    first, second = ([{k: v.numpy() for k, v in batch.items()} for batch in dataset] for _ in range(2))
    for batch in first:
        assert_batch(batch, expected)
    assert sorted(torch_keys(first)) == sorted(expected)
    assert torch_keys(first) != torch_keys(second)


@pytest.mark.skipif(HAS_TORCH, reason="torch is installed")
def test_without_torch_the_message_says_so(mapped_path):
    with pytest.raises(ImportError, match="torch"):
        ImageDataset(mapped_path, table="Events").as_torch()

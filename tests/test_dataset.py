"""Reading back: every sample is what PyTables reads, whatever the layout, the choice, or the split."""

import pickle

import numpy as np
import pytest
import tables
from helpers.random_dataset import (
    N_EVENTS,
    SHAPE,
    TEL_IDS,
    VARIANTS,
    assert_batch,
    keys_of,
    plain_image,
    plain_images,
    write_dataset,
)
from helpers.resealed import reseal
from hypothesis import given, settings
from hypothesis import strategies as st

from image_extractor.batch.merge import rewrite
from image_extractor.dataset import ImageDataset
from image_extractor.errors import DatasetError, MissingNameError
from image_extractor.hdf5 import dataset_files
from image_extractor.parameters.columns import NAMES as PARAMETERS
from image_extractor.training.sample_columns import COLUMNS

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


def shuffle_and_split(path):
    with dataset_files.open_file(path, "a") as file:  # what the merge asks of a dataset
        file.root.Cameras.LSTCam.append(np.zeros(1, [("pixel_id", "<i4")]))
    reseal(path)
    rewrite(path, seed=3, split={"Training": 0.8, "Validation": 0.15, "Test": 0.05})


@pytest.mark.one_in(5)
def test_after_shuffle_and_split_tables_are_what_pytables_reads(dataset_path, tmp_path):
    path = tmp_path / "split.h5"
    path.write_bytes(dataset_path.read_bytes())
    whole = plain_images(path)
    shuffle_and_split(path)
    seen = []
    for table in ("Training", "Validation", "Test"):
        expected = plain_images(path, f"Events_{table}")
        with ImageDataset(path, table=table) as dataset:
            batch = dataset[:]
            assert set(keys_of(batch)) == set(expected)
            assert_batch(batch, expected)
        seen += keys_of(batch)
    assert sorted(seen) == sorted(whole)


numbers = st.integers(-60, 59)
index_sets = st.one_of(
    st.lists(numbers, max_size=40),
    st.lists(numbers, max_size=40).map(lambda values: np.array(values, np.int64)),
    st.slices(60),
)


@pytest.fixture(scope="module")
def opened(dataset_path, tmp_path_factory):
    """Sixty samples of the dataset, and sixty of its training table when it is shuffled and split, with the truth."""
    split_path = tmp_path_factory.mktemp("split") / "data.h5"
    split_path.write_bytes(dataset_path.read_bytes())
    shuffle_and_split(split_path)
    expected = plain_images(dataset_path), plain_images(split_path, "Events_Training")
    with ImageDataset(dataset_path, table="Events") as whole, ImageDataset(split_path) as training:
        assert min(len(whole), len(training)) > 60
        yield list(zip([whole.select(np.arange(60)), training.select(np.arange(60))], expected, strict=True))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([0, 1]), index_sets)
def test_any_set_of_samples_in_any_order(opened, which, key):
    dataset, expected = opened[which]
    wanted = np.arange(60)[key if isinstance(key, slice) else np.asarray(key, np.int64)]
    everything = dataset.labels(("obs_id", "event_id", "primary", "tel_id"))
    batch = dataset[key]
    assert keys_of(batch) == [keys_of(everything)[number] for number in wanted]
    assert_batch(batch, expected)
    assert all(values.flags.c_contiguous for values in batch.values())


@settings(max_examples=20, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=10))
def test_a_list_of_samples_is_read_as_one_batch(opened, key):
    dataset, _ = opened[0]
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


@pytest.mark.one_in(3)
@pytest.mark.parametrize("storage_mode", ["mapped", "all"])
@pytest.mark.parametrize("options", [(), ("--shuffle", "--split", "0.6,0.4")])
def test_datasets_of_the_command(production, make_config, convert, storage_mode, options):
    made = {"storage_mode": storage_mode, "telescope_type_mode": "LST", "image_mode": "PIXELS_TIMING_2C"}
    made["image_dtype"] = "int32"  # stored in hundredths
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


@pytest.mark.one_in(4)
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


# -- what is wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"table": "Training"}, "no table 'Training'; it has: Events"),
        ({"table": "Event"}, "no table 'Event'; nearest: Events"),
        ({"telescopes": "LTS"}, "no telescope 'LTS'; nearest: LST"),
        ({"telescopes": 3}, "no telescope 3; it has: LST, MST, LSTCam, NectarCam, 2, 5, 9"),
        ({"bins": 7}, "no energy bin 'E7'; nearest: E"),
        (
            {"columns": ("log_energy",)},
            "no column 'log_energy'; nearest: log10_energy",
        ),
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


def test_every_column_that_is_listed_works(mapped_path):
    with pytest.raises(MissingNameError) as caught:
        ImageDataset(mapped_path, "Events", columns="nonsense")
    listed = str(caught.value).partition("it has: ")[2].split(", ")
    assert {*COLUMNS, "event_weight"} == set(listed)
    # a weight needs runs that say how they were simulated, parameters must have been stored, only observed data have times
    for name in sorted(set(listed) - {"event_weight", "time", *PARAMETERS}):
        with ImageDataset(mapped_path, "Events", columns=name) as dataset:
            assert len(dataset.labels()[name]) == len(dataset)


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


@pytest.mark.parametrize("kind", ["chunk", "node"])
def test_damage_is_told_in_one_line(tmp_path, kind):
    path = write_dataset(tmp_path / "data.h5", output_compression="zstd")
    if kind == "chunk":
        with tables.open_file(str(path)) as file:
            place = file.root.E0.Events.chunk_info((0,))
        with path.open("r+b") as file:
            file.seek(place.offset)
            file.write(b"\xff" * place.size)
    else:
        with tables.open_file(str(path), "a") as file:
            file.root.Run_Table.remove()
    with pytest.raises(DatasetError, match=r"data.h5: damaged, or not a whole image_extractor dataset: [^\n]*$"):
        ImageDataset(path, table="Events")

"""The view 'types': telescopes of several types in one sample, held against the images of single telescopes."""

import importlib.util
import pickle

import numpy as np
import pytest
import tables
from helpers.random_dataset import VARIANTS, write_dataset

from image_extractor.dataset import ImageDataset
from image_extractor.errors import MissingNameError

HAS_TORCH = importlib.util.find_spec("torch") is not None

COLUMNS = ("obs_id", "event_id", "tel_id", "impact", "log10_energy", "class_weight")


@pytest.fixture(scope="module", params=["mapped", "all compressed", "different scales"])
def path(request, tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("types") / "o.h5", n_events=60, **VARIANTS[request.param])


@pytest.fixture(scope="module")
def single(path):
    """{(event, tel_id): image} by the telescope view."""
    with ImageDataset(path, table="Events", columns=COLUMNS) as dataset:
        whole = dataset[:]
    keys = zip(whole["event_id"].tolist(), whole["tel_id"].tolist(), strict=True)
    return dict(zip(keys, zip(whole["image"], whole["impact"], strict=True), strict=True))


def images_of(batch):
    """Return {event: {type: [(tel_id, image, impact)]}} of a batch; what is masked is zero."""
    found = {}
    for i, event in enumerate(batch["event_id"].tolist()):
        found[event] = {}
        for name, mask in batch["mask"].items():
            there = mask[i]
            assert (np.diff(there.astype(int)) <= 0).all(), "images come first"
            assert not batch["image"][name][i][~there].any()
            columns = (batch[column][name][i][there] for column in ("tel_id", "image", "impact"))
            found[event][name] = list(zip(*columns, strict=True))
    return found


@pytest.mark.parametrize("order", ["id", "size"])
@pytest.mark.parametrize("maximum", [None, 1, {"LST_LSTCam": 1}])
def test_images_are_those_of_the_telescopes(path, single, order, maximum):
    with ImageDataset(
        path, table="Events", view="types", columns=COLUMNS, telescope_order=order, max_telescopes=maximum
    ) as dataset:
        assert set(dataset.image_shape) == {"LST_LSTCam", "MST_NectarCam"}
        found = images_of(dataset[:])
        assert len(found) == len(dataset) == len({event for event, _ in single})
    types = {2: "LST_LSTCam", 5: "LST_LSTCam", 9: "MST_NectarCam"}
    for event, by_type in found.items():
        for name, kept in by_type.items():
            of_event = [(tel, *single[event, tel]) for tel in types if types[tel] == name and (event, tel) in single]
            if order == "size":
                of_event.sort(key=lambda one: -one[1][..., 0].sum(dtype=np.float64))
            most = maximum.get(name) if isinstance(maximum, dict) else maximum
            expected = of_event[:most]
            assert [one[0] for one in kept] == [one[0] for one in expected]
            for one, other in zip(kept, expected, strict=True):
                np.testing.assert_array_equal(one[1], other[1])
                assert one[2] == other[2]


@pytest.mark.parametrize("shuffle", [False, True, "blocks"])
def test_batches_of_an_epoch(path, shuffle):
    with ImageDataset(path, table="Events", view="types", columns=COLUMNS) as dataset:
        whole = images_of(dataset[:])
        seen = {}
        for batch in dataset.batches(7, shuffle=shuffle, block=4, buffer=12):
            seen |= images_of(batch)
            assert batch["log10_energy"].shape == batch["event_id"].shape
        assert seen.keys() == whole.keys()
        assert repr(seen) == repr({event: whole[event] for event in seen})
        one = dataset[4]
        assert one["image"]["LST_LSTCam"].shape == dataset[4:5]["image"]["LST_LSTCam"].shape[1:]
        again = pickle.loads(pickle.dumps(dataset))
        assert repr(images_of(again[:])) == repr(whole)
        parts = dataset.split({"Training": 0.5, "Validation": 0.5})
        assert sum(map(len, parts.values())) == len(dataset)
        cut = ImageDataset(path, table="Events", view="types", columns=COLUMNS, where={"impact": (0, 150)})
        kept = [impact for by_type in images_of(cut[:]).values() for of in by_type.values() for *_, impact in of]
        expected = [
            impact for by_type in whole.values() for of in by_type.values() for *_, impact in of if impact < 150
        ]
        assert sorted(kept) == sorted(expected)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["array", "pixels"])
def test_cameras_of_all_shapes(layout, all_cameras, convert, make_config):
    settings = {"telescope_type_mode": "ALL", "image_mode": "PIXELS_TIMING_2C", "image_scale_factor": 1}
    path = convert(all_cameras, make_config(**settings, storage_mode="mapped"))
    with ImageDataset(path, table="Events", view="types", layout=layout) as dataset:
        batch = dataset[:]
        assert len(batch["image"]) == 7
        for name, images in batch["image"].items():
            camera = name.split("_")[1]
            with ImageDataset(path, table="Events", view="event", telescopes=camera, layout=layout) as alone:
                assert dataset.image_shape[name] == alone.image_shape
                of_event = dict(zip(alone.labels()["event_id"].tolist(), alone[:]["image"], strict=True))
                masks = dict(zip(alone.labels()["event_id"].tolist(), alone[:]["mask"], strict=True))
            for event, image, mask in zip(batch["event_id"].tolist(), images, batch["mask"][name], strict=True):
                expected = of_event[event][masks[event]] if event in of_event else image[:0]
                np.testing.assert_array_equal(image[mask], expected)


def test_an_image_with_a_pixel_that_is_no_number_is_not_lost(tmp_path):
    """It comes behind the others of its event, and before what is not there."""
    path = write_dataset(tmp_path / "o.h5", image_dtype="float32")
    with tables.open_file(path, "a") as file:
        for group in (file.root.E0, file.root.E1):
            for name in ("T2", "T5"):
                images = group._f_get_child(name)[:]
                images[::2, 1, 1, 0] = np.nan
                group._f_get_child(name)[:] = images
    with ImageDataset(path, table="Events", view="types", telescope_order="size") as dataset:
        batch = dataset[:]
    sizes, mask = batch["image"]["LST_LSTCam"][..., 0].sum(axis=(2, 3)), batch["mask"]["LST_LSTCam"]
    with ImageDataset(path, table="Events", view="event") as dataset:
        plain = dataset[:]
    assert mask.sum() == plain["mask"][:, :2].sum()
    assert np.isnan(sizes).sum() == np.isnan(plain["image"][:, :2, ..., 0].sum(axis=(2, 3))).sum() > 5
    assert (mask[:, 0] >= mask[:, 1]).all()
    assert not np.isnan(sizes[:, 0][mask.all(axis=1) & ~np.isnan(sizes).all(axis=1)]).any()


def test_wrong_choices_are_refused(path):
    for arguments, message in (
        ({"view": "event", "max_telescopes": 2}, "choose view = 'types', not 'event'"),
        ({"view": "types", "max_telescopes": 0}, "max_telescopes = 0: must be at least 1"),
        ({"view": "types", "telescope_order": "energy"}, "telescope_order = 'energy': must be 'id' or 'size'"),
        ({"view": "types", "telescope_order": "size", "channels": "time"}, "needs the channel charge"),
    ):
        with pytest.raises(ValueError, match=message):
            ImageDataset(path, table="Events", **arguments)
    with pytest.raises(MissingNameError, match="no telescope type 'LST'; it has: LST_LSTCam"):
        ImageDataset(path, table="Events", view="types", max_telescopes={"LST": 1})


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
def test_data_loader(path):
    from torch.utils.data import DataLoader

    dataset = ImageDataset(path, table="Events", view="types", columns=COLUMNS)
    expected = images_of(dataset[:])
    loaders = (
        DataLoader(dataset.as_torch(), batch_size=9, shuffle=True),
        DataLoader(dataset.as_torch(9, shuffle=True), batch_size=None, num_workers=2),
        DataLoader(dataset, batch_size=9),
    )
    for number, loader in enumerate(loaders):
        seen = {}
        for batch in loader:
            images = {name: image.numpy() for name, image in batch["image"].items()}
            if number < 2:
                images = {name: np.moveaxis(image, 2, -1) for name, image in images.items()}
            plain = {
                name: {key: value.numpy() for key, value in values.items()}
                if isinstance(values, dict)
                else values.numpy()
                for name, values in batch.items()
            }
            seen |= images_of(plain | {"image": images})
        assert repr({event: seen[event] for event in expected}) == repr(expected)

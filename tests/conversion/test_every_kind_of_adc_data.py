"""The main promise on demo files: whatever way cameras count, what is stored is what ctapipe computes, bit for bit."""

import functools

import numpy as np
import pytest
import tables
from ctapipe.io import SimTelEventSource
from helpers import adc_kinds
from helpers.reading import dl1_events, read_dataset

from image_extractor import ImageExtractor

TELESCOPES = "LST:1,MSTN:1,MSTF:1,SCT:1,SSTC:1,SSTA:1,SSTD:1"
CAMERAS = {"LSTCam", "NectarCam", "FlashCam", "SCTCam", "CHEC", "ASTRICam", "DigiCam"}
#: Bright showers close by: all seven cameras have images, and some pixels more light than their range.
SHOWERS = {"events": 2, "telescopes": TELESCOPES, "energy": "30,100", "scatter": 100, "seed": 1}

#: What a camera counts, and how it is written.
KINDS = {
    "traces": (adc_kinds.as_it_is, None),
    "other number of gains": (adc_kinds.other_number_of_gains, None),
    "16 bits": (adc_kinds.sixteen_bits, None),
    "more than 16 bits": (adc_kinds.more_than_sixteen_bits, None),
    "zero-suppressed": (adc_kinds.as_it_is, adc_kinds.zero_suppressed),
    "zero-suppressed, other number of gains": (adc_kinds.other_number_of_gains, adc_kinds.zero_suppressed),
    "sums": (adc_kinds.one_sample, None),
    "zero-suppressed sums": (adc_kinds.one_sample, adc_kinds.zero_suppressed),
    "listed sums": (adc_kinds.one_sample, adc_kinds.listed),
}
#: Of these, datasets are made in all ways; of the others in the first two.
IN_ALL_WAYS = ("traces", "16 bits", "zero-suppressed")
WAYS = [
    {"storage_mode": "mapped", "image_dtype": "float32", "calibration_fast": True},
    {"storage_mode": "all", "image_dtype": "float32", "calibration_fast": False, "image_mapping": "axial"},
    {"storage_mode": "mapped", "image_dtype": "uint16", "calibration_fast": False, "image_dim_order": "channels_first",
     "calibration_extractor": "LocalPeakWindowSum"},
    {"storage_mode": "all", "image_dtype": "int32", "calibration_fast": True, "image_charge_scale": 7.0,
     "calibration_extractor": "LocalPeakWindowSum"},
    {"storage_mode": "mapped", "image_dtype": "float32", "calibration_fast": True, "mode": "energy_recon",
     "calibration_extractor": "FullWaveformSum", "calibration_extractor_of": {"FlashCam": "FlashCamExtractor"}},
    {"storage_mode": "mapped", "image_dtype": "int16", "calibration_fast": False,
     "calibration_extractor": "FullWaveformSum", "calibration_extractor_of": {"FlashCam": "FlashCamExtractor"}},
]  # fmt: skip


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """Return a function that writes the file of a kind, once."""
    folder = tmp_path_factory.mktemp("kinds")

    @functools.cache
    def file_of(change, code):
        if code is None:
            return adc_kinds.write_with_cameras(folder / f"{change.__name__}.simtel", change, **SHOWERS)
        return adc_kinds.recoded(file_of(change, None), folder / f"{change.__name__}_{code.__name__}.simtel", code)

    return lambda kind: file_of(*KINDS[kind])


@pytest.fixture(scope="module")
def calibrated(write):
    """Return a function that gives ctapipe's own images of a kind: {(event, telescope): (charge, peak time)}."""

    @functools.cache
    def images_of(kind, extractors):
        return {
            (event.index.event_id, tel_id): (dl1.image, dl1.peak_time)
            for _, event in dl1_events(write(kind), list(extractors))
            for tel_id, dl1 in event.dl1.tel.items()
        }

    return images_of


def extractors_of(way):
    """Return the extractors of a way as ctapipe's own users write them."""
    default = way.get("calibration_extractor", "NeighborPeakWindowSum")
    of_cameras = way.get("calibration_extractor_of", {})
    return ("type", "*", default), *[("type", f"*{camera}", name) for camera, name in of_cameras.items()]


def as_stored(charge, time, way):
    """Return both as they are to be stored."""
    dtype = np.dtype(way["image_dtype"])
    if dtype == np.float32:
        return np.stack([charge, time]).astype(dtype)
    limits = np.iinfo(dtype)
    scales = way.get("image_charge_scale", 100.0), 100.0
    counts = [np.round(values.astype(float) * scale) for values, scale in zip((charge, time), scales, strict=True)]
    return np.clip(counts, limits.min, limits.max).astype(dtype)


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    ("kind", "way"), [(kind, way) for kind in KINDS for way in range(len(WAYS) if kind in IN_ALL_WAYS else 2)]
)
def test_stored_images_are_ctapipes(kind, way, write, calibrated, convert, make_config):
    way = WAYS[way]
    config = make_config(
        telescope_type_mode="ALL", image_mode="PIXELS_TIMING_2C", energy_recon_gamma_only=False,
        energy_recon_bins_min=-3, energy_recon_bins_max=4, **way,
    )  # fmt: skip
    expected = calibrated(kind, extractors_of(way))
    stored = {
        (event["event_number"], tel_id): pixels
        for event in read_dataset(convert(write(kind), config))
        for tel_id, pixels in event["pixels"].items()
    }
    assert stored.keys() == expected.keys()
    for key, images in expected.items():
        image = as_stored(*images, way)
        assert stored[key].dtype == image.dtype
        assert stored[key].tobytes() == image.tobytes()


@pytest.mark.one_in(2)
@pytest.mark.parametrize("kind", ["16 bits", "listed sums"])
def test_the_class_stores_the_same_with_either_reader(kind, write, tmp_path):
    found = []
    for fast in (True, False):
        extractor = ImageExtractor(
            tmp_path / f"{fast}.h5", None, "gh_class", use_pkl_dict=False, telescope_type_mode="ALL",
            storage_mode="mapped", image_mode="PIXELS_TIMING_2C", calibration_fast=fast, energy_bins_max=4,
        )  # fmt: skip
        assert extractor.process_data(write(kind))["images"] > len(CAMERAS)
        with tables.open_file(tmp_path / f"{fast}.h5") as file:
            found.append({node._v_pathname: node[:].tobytes() for node in file.walk_nodes("/", "Leaf")})
    assert found[0] == found[1]


# -- that the kinds are what they say ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def counts(write):
    """Return a function that gives what eventio reads of a kind: {camera: [(counts, gains that ctapipe chose)]}."""

    def counts_of(kind):
        found = {}
        with SimTelEventSource(write(kind)) as source:
            for event in source:
                for tel_id, r0 in event.r0.tel.items():
                    camera = source.subarray.tel[tel_id].camera.name
                    found.setdefault(camera, []).append((r0.waveform, event.r1.tel[tel_id].selected_gain_channel))
        assert found.keys() == CAMERAS
        return found

    return counts_of


def ties(adc):
    """Return in how many pixels the highest count of the trace comes twice, besides those of noise."""
    high = adc[0].astype(int)
    top = high.max(axis=-1, keepdims=True)
    return np.count_nonzero(((high == top).sum(axis=-1) > 1) & (np.ptp(high, axis=-1) > 1000))


def test_one_and_two_gains_in_every_camera(counts):
    gains = {"one": set(), "two": set()}
    chosen = {}
    for kind in ("traces", "other number of gains"):
        for camera, images in counts(kind).items():
            gains["one" if len(images[0][0]) == 1 else "two"].add(camera)
            if len(images[0][0]) == 2:
                chosen[camera] = {int(gain) for _, selected in images for gain in selected}
    assert gains == {"one": CAMERAS, "two": CAMERAS}
    assert [camera for camera in chosen if chosen[camera] == {0, 1}] == list(chosen)


def test_steps_and_ties_of_16_bits(counts):
    found = {camera: [adc for adc, _ in images] for camera, images in counts("16 bits").items()}
    traces = {camera: images for camera, images in found.items() if images[0].shape[-1] > 1}
    assert traces.keys() == CAMERAS - {"ASTRICam"}
    for images in traces.values():
        assert max(adc.max() for adc in images) > 1 << 15
        steps = np.concatenate([np.diff(adc.astype(int), axis=-1).ravel() for adc in images])
        assert steps.max() > 8192  # in three bytes
        assert steps.min() < -4096
    saturated = [adc for images in traces.values() for adc in images if adc.max() == 65535]
    assert len({adc.shape for adc in saturated}) >= 4
    assert sum(ties(adc) for adc in saturated) > 100


def test_pixels_are_left_out_of_every_camera(counts):
    for kind in ("zero-suppressed", "zero-suppressed, other number of gains", "zero-suppressed sums", "listed sums"):
        for camera, images in counts(kind).items():
            for adc, _ in images:
                seen = adc.any(axis=(0, 2))
                assert 0.001 < seen.mean() < 0.9, (kind, camera)
                if kind != "listed sums":
                    assert (adc[:, seen].max(axis=-1) > 0).all()


def test_sums_of_every_camera_go_beyond_16_bits_in_one(counts):
    found = counts("sums")
    assert all(adc.shape[-1] == 1 for images in found.values() for adc, _ in images)
    assert max(adc.max() for images in found.values() for adc, _ in images) > 1 << 16

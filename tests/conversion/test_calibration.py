"""Extractors of [calibration]: one for all or one for each kind of telescope, with settings of their own."""

import gc
import weakref

import numpy as np
import pytest
from helpers.processes import called
from helpers.reading import read_dataset

from image_extractor import ConfigError, ImageExtractor, config
from image_extractor.commands.convert import main
from image_extractor.conversion import calibration
from image_extractor.inputs.simtel.open_run import open_runs

WINDOWS = {"NeighborPeakWindowSum": {"window_width": 11, "window_shift": 3}, "LocalPeakWindowSum": {"window_width": 4}}
EXTRACTORS = {"FlashCam": "FlashCamExtractor", "SST": "LocalPeakWindowSum", "CHEC": "FullWaveformSum"}
FLASHCAM = {"FlashCamExtractor": {"window_width": 5, "leading_edge_timing": False, "neighbour_sum_clipping": 6.5}}

#: The same as ctapipe's own users write it.
PATTERNS = [
    ("type", "*", "NeighborPeakWindowSum"),
    ("type", "SST*", "LocalPeakWindowSum"),
    ("type", "MST_MST_FlashCam", "FlashCamExtractor"),
    ("type", "SST_GCT_CHEC", "FullWaveformSum"),
]

SETTINGS = {
    "storage_mode": "mapped", "image_dtype": "float32", "image_mode": "PIXELS_TIMING_2C", "telescope_type_mode": "ALL",
    "calibration_extractor_of": EXTRACTORS,
} | {f"calibration_{name}": values for name, values in (WINDOWS | FLASHCAM).items()}  # fmt: skip


def ctapipes_images(path, patterns, config=None):
    """Return {(event id, telescope id): (charges, peak times)} of a fresh source and calibrator of ctapipe."""
    from ctapipe.calib import CameraCalibrator
    from ctapipe.io import SimTelEventSource
    from traitlets.config import Config

    found = {}
    with SimTelEventSource(path, focal_length_choice="EQUIVALENT") as source:
        calibrate = CameraCalibrator(source.subarray, config=Config(config or {}), image_extractor_type=patterns)
        for event in source:
            calibrate(event)
            for tel_id, dl1 in event.dl1.tel.items():
                found[event.index.event_id, tel_id] = dl1.image, dl1.peak_time
        return found, {tel_id: telescope.camera.name for tel_id, telescope in source.subarray.tel.items()}


def images_of(path):
    events = read_dataset(path)
    return {(event["event_number"], tel_id): pixels for event in events for tel_id, pixels in event["pixels"].items()}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("fast", [True, False])
def test_each_camera_has_its_extractor(fast, all_cameras, convert, make_config):
    stored = images_of(convert(all_cameras, make_config(calibration_fast=fast, **SETTINGS)))
    expected, cameras = ctapipes_images(all_cameras, PATTERNS, WINDOWS | FLASHCAM)
    plain, _ = ctapipes_images(all_cameras, PATTERNS[:1])
    assert stored.keys() == expected.keys()
    changed = set()
    for key, (charge, time) in expected.items():
        assert np.array_equal(stored[key], [charge, time])
        if not np.array_equal(charge, plain[key][0]):
            changed.add(cameras[key[1]])
    # ASTRICam has one sample, and so nothing to extract from
    assert changed == {"LSTCam", "NectarCam", "FlashCam", "SCTCam", "CHEC", "DigiCam"}


def test_real_flashcams(real, convert, make_config):
    path = real("proton_lst_flashcam.simtel.zst")
    stored = images_of(convert(path, make_config(**SETTINGS)))
    expected, _ = ctapipes_images(path, PATTERNS, WINDOWS | FLASHCAM)
    assert len(stored) > 0
    for key, pixels in stored.items():
        assert np.array_equal(pixels, expected[key])
    assert stored.keys() == expected.keys()


@pytest.mark.parametrize("fast", [True, False])
def test_an_extractor_that_keeps_the_axis_of_gains(fast, production, convert, make_config):
    config = make_config(
        calibration_extractor="VarianceExtractor", telescope_type_mode="ALL", image_mode="PIXELS_1C",
        image_dtype="float32", storage_mode="mapped", calibration_fast=fast,
    )  # fmt: skip
    stored = images_of(convert(production[0], config))
    expected, _ = ctapipes_images(production[0], [("type", "*", "VarianceExtractor")])
    assert stored.keys() == expected.keys()
    assert len(stored) > 0
    for key, (variance, _) in expected.items():
        assert np.array_equal(stored[key], variance.reshape(1, -1))


def test_an_image_of_another_shape_is_one_line(production, make_config, tmp_path, monkeypatch):
    from ctapipe.image.extractor import VarianceExtractor

    original = VarianceExtractor.__call__

    def twice(self, *args, **kwargs):
        dl1 = original(self, *args, **kwargs)
        dl1.image = np.repeat(np.atleast_2d(dl1.image), 2, axis=0)
        return dl1

    monkeypatch.setattr(VarianceExtractor, "__call__", twice)
    settings = {"calibration_extractor": "VarianceExtractor", "image_mode": "PIXELS_1C", "telescope_type_mode": "LST"}
    extractor = ImageExtractor(
        tmp_path / "o.h5", None, "gh_class", use_pkl_dict=False, energy_bins_min=-3, energy_bins_max=4, **settings
    )
    with pytest.raises(ConfigError) as error:
        extractor.process_data(production[0])
    message = "[calibration] extractor = VarianceExtractor gives 2 x 1855 values, not one per pixel: take another"
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"calibration_extractor_of": {"LST": "Best"}}, "[calibration] [[extractor_of]] LST = Best: must be one of "),
        ({"calibration_extractor_of": {"LST": "VarianceExtractor"}}, "[calibration] [[extractor_of]] LST = VarianceExtractor "
         "gives no peak time, which [image] mode = PIXELS_TIMING_2C needs"),
        ({"calibration_NeighborPeakWindowSum": {"window_width": 7.5}}, "[calibration] [[NeighborPeakWindowSum]] "
         "window_width = 7.5: must be an int"),
        ({"calibration_NeighborPeakWindowSum": {"window_widht": 7}}, "[calibration] [[NeighborPeakWindowSum]] unknown key "
         "window_widht = 7; known here: apply_integration_correction, local_weight, window_shift, window_width"),
    ],
)  # fmt: skip
def test_what_ctapipe_does_not_have_is_one_line(settings, message, production, make_config, tmp_path, caplog):
    config = make_config(telescope_type_mode="ALL", image_mode="PIXELS_TIMING_2C", **settings)
    assert main([production[0], tmp_path / "o.h5", config, "--jobs", 1]) == 2
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [caplog.messages[-1]]
    assert caplog.messages[-1].startswith(message)
    assert "\n" not in caplog.messages[-1]
    assert not (tmp_path / "o.h5").exists()


def test_all_extractors_settings_can_be_checked():
    """Each by its own defaults, which ctapipe of any version takes back."""
    from ctapipe.image.extractor import ImageExtractor as Extractor

    for name, kind in Extractor.non_abstract_subclasses().items():
        traits = {key: trait.default_value for key, trait in kind.class_traits(config=True).items()}
        values = {key: value for key, value in traits.items() if isinstance(value, bool | int | float | str)}
        calibration.check({"extractor": name, "extractor_of": {}, name: values})


def test_other_extractors_are_not_appended(production, convert, make_config, tmp_path, caplog):
    """Events of one dataset are extracted alike; what differs is named."""
    plain = make_config("plain.config", telescope_type_mode="ALL", storage_mode="mapped")
    output = convert(production[0], plain)
    for settings, message in (
        ({"calibration_extractor_of": {"LST": "LocalPeakWindowSum"}}, "[extractor_of] LST = unset, now LocalPeak"),
        (
            {"calibration_NeighborPeakWindowSum": {"window_width": 5}},
            "[NeighborPeakWindowSum] window_width = unset, now 5",
        ),
        ({"image_mapping_of": {"LST": "bilinear"}}, "[mapping_of] LST = unset, now bilinear"),
    ):
        other = make_config("other.config", telescope_type_mode="ALL", storage_mode="mapped", **settings)
        assert main([production[1], output, other, "--jobs", 1]) == 2
        assert message in caplog.messages[-1]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("FlashCamExtractor", {"upsampling": -3}),
        ("NeighborPeakWindowSum", {"window_width": 0}),
    ],
)
def test_settings_that_make_no_sense_are_refused(section, said, tmp_path):
    keywords = {"calibration_extractor": section, f"calibration_{section}": said}
    with pytest.raises(ConfigError, match="must be 1 or more"):
        calibration.check(config.from_keywords(keywords)["calibration"])


def test_an_extractor_that_fails_by_its_settings_is_not_blamed_on_the_file(production, make_config, tmp_path):
    config_file = make_config(
        telescope_type_mode="LST",
        calibration_extractor="SlidingWindowMaxSum",
        calibration_SlidingWindowMaxSum={"window_width": 500},
    )
    ended = called("convert", production[0], tmp_path / "o.h5", config_file)
    assert ended.returncode == 2
    assert "[calibration] [[SlidingWindowMaxSum]]: with these settings ctapipe fails" in ended.stderr
    assert "damaged" not in ended.stderr
    assert not (tmp_path / "o.h5").exists()


def test_images_without_any_charge_are_said(production, make_config, convert, caplog):
    config_file = make_config(
        telescope_type_mode="LST",
        storage_mode="mapped",
        calibration_extractor="FixedWindowSum",
        calibration_FixedWindowSum={"peak_index": 500},
    )
    convert(production[0], config_file)
    assert "every charge is 0: look at the settings of the extractor" in caplog.text


@pytest.mark.parametrize("fast", [True, False])
def test_runs_are_let_go_of(fast, all_cameras, production, make_config):
    """Memory would grow with files else: ctapipe's extractors share caches, which keep them and their telescopes."""
    settings = config.load(make_config(calibration_fast=fast, calibration_extractor_of=EXTRACTORS))
    seen = []
    gc.collect()
    gc.disable()
    try:
        for path in (all_cameras, *production):
            seen += read_whole(path, fast, settings)
            assert not [what for what in seen if what() is not None]  # nor do they wait for garbage to be collected
    finally:
        gc.enable()
    assert len(seen) >= 10


def read_whole(path, fast, settings):
    """Return weak references to the runs of a file that was calibrated, to their telescopes and extractors."""
    with open_runs(path, fast) as runs:
        for run in runs:
            calibrate = calibration.Calibrator(run, settings)
            run.select(run.subarray.tel, lambda *_: True)
            for event in run:
                calibrate(event)
            assert event.dl1.tel
        extractors = calibrate._calibrate.image_extractors.values()
        return [weakref.ref(one) for one in (run, run.subarray, *extractors)]

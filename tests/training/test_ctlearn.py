"""The reader for CTLearn, held against the reader that CTLearn has for ctapipe's files of the same simtel files."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from helpers.documents import code
from traitlets import TraitError

from image_extractor import DatasetError, ImageExtractor
from image_extractor.demo import write_demo_file

pytest.importorskip("dl1_data_handler", reason="dl1-data-handler is not installed")
HAS_CTLEARN = importlib.util.find_spec("ctlearn") is not None
pytestmark = pytest.mark.slow

#: Telescopes of the demo, their mapping, and CTLearn's mapper that makes the same arrays. Its SquareMapper does not: it
#: takes the pixel nearest to each cell, and loses and doubles pixels of cameras with gaps.
CAMERAS = {
    "LST:3": ("axial", "AxialMapper"),
    "MSTN:3": ("axial", "AxialMapper"),
}
CLEANING = [
    f"--TailcutsImageCleaner.{name}={value}"
    for name, value in (("picture_threshold_pe", 4), ("boundary_threshold_pe", 2), ("min_picture_neighbors", 2))
]
LABELS = (
    "true_energy", "log_true_energy", "true_shower_primary_id", "true_shower_primary_class", "true_alt", "true_az",
    "telescope_pointing_altitude", "telescope_pointing_azimuth", "true_core_x", "true_core_y", "true_h_first_int",
    "true_x_max", "fov_lon", "fov_lat", "cam_coord_offset_x", "cam_coord_offset_y", "cam_coord_distance", "impact_radius",
)  # fmt: skip
IDS = ("obs_id", "event_id", "tel_id")


@pytest.fixture(scope="module", params=CAMERAS)
def files(request, tmp_path_factory):
    """Folders of both kinds of files, of gammas and of protons, and what goes with the camera."""
    folder = tmp_path_factory.mktemp("ctlearn")
    mapping, mapper = CAMERAS[request.param]
    for primary, run in (("gamma", 5), ("proton", 105)):
        simtel = folder / f"{primary}.simtel"
        write_demo_file(
            simtel, events=50, telescopes=request.param, primary=primary, run=run, seed=run, energy=(0.3, 10)
        )
        for kind in ("ours", "theirs"):
            (folder / kind / primary).mkdir(parents=True)
        dl1 = folder / "theirs" / primary / "a.dl1.h5"
        command = ["ctapipe-process", "--input", simtel, "--output", dl1, "--write-images", *CLEANING]
        program = Path(sys.executable).parent / command[0]
        subprocess.run([program, *command[1:]], check=True, capture_output=True, cwd=folder)
        ImageExtractor(
            folder / "ours" / primary / "a.h5", None, "gh_class", storage_mode="mapped", telescope_type_mode="ALL",
            use_pkl_dict=False, image_scale_factor=1, image_mode="PIXELS_TIMING_2C", image_dtype="float32",
            image_mapping=mapping, energy_bins_min=-3, energy_bins_max=4, energy_bins_bin_size=7, parameters_store=True,
            cleaning_picture=4, cleaning_boundary=2, cleaning_neighbours=2,
        ).process_files([simtel], jobs=1)  # fmt: skip
    return folder, mapper


def open_both(files, **options):
    """Return our reader and CTLearn's, made by the discovery that CTLearn uses."""
    from dl1_data_handler.reader import DLDataReader

    import image_extractor.ctlearn_reader  # noqa: F401 - that makes it known

    folder, mapper = files
    found = []
    for kind, name, more in (
        ("ours", "ImageExtractorReader", {}),
        ("theirs", "DLImageReader", {"image_mapper_type": [["type", "*", mapper]]}),
    ):
        signal, background = (sorted((folder / kind / primary).glob("*.h5")) for primary in ("gamma", "proton"))
        urls = {"input_url_signal": signal, "input_url_background": background}
        found.append(DLDataReader.from_name(name, **urls, **options, **more))
    return found


def rows_of(table, names):
    return list(zip(*(np.asarray(table[name]).tolist() for name in names), strict=True))


def around_the_pointing(table, reader):
    """Return examples with directions around where telescopes look.

    CTLearn takes the altitudes between which showers are simulated for the pointing: gammas of a point are there.
    """
    table = table.copy()
    for name in ("azimuth", "altitude"):
        table[f"pointing_{name}"] = table[f"telescope_pointing_{name}"]
    table.remove_columns(["fov_lon", "fov_lat", "angular_separation"])
    return reader._transform_to_sky_spher_offsets(table)


def assert_same_labels(ours, theirs, reader):
    keys = (*IDS, "true_shower_primary_class")
    order, expected = ({key: i for i, key in enumerate(rows_of(table, keys))} for table in (ours, theirs))
    assert order.keys() == expected.keys()
    places = [order[key] for key in expected]
    theirs = around_the_pointing(theirs, reader)
    for name in LABELS:
        one, other = ours[name][places], theirs[name]
        values = [getattr(column, "quantity", None) for column in (one, other)]
        if all(value is not None and value.unit.is_equivalent(values[1].unit) for value in values):
            one, other = values[0].to_value(values[1].unit), values[1].value
        np.testing.assert_allclose(np.asarray(one, float), np.asarray(other, float), rtol=3e-6, atol=2e-6, err_msg=name)
    return places


@pytest.mark.parametrize("criteria", [[], [("> 50 phe", "hillas_intensity > 50")]])
def test_events_labels_and_images_are_those_of_ctlearn(files, criteria):
    """Images bit for bit, under `axial`, in float32."""
    from traitlets.config import Config

    config = Config({"TableQualityQuery": {"quality_criteria": criteria}})
    ours, theirs = open_both(files, config=config)
    assert ours.get_n_events() == theirs.get_n_events() > 20
    assert (ours.n_signal_events, ours.n_bkg_events) == (theirs.n_signal_events, theirs.n_bkg_events)
    assert ours.class_weight == pytest.approx(theirs.class_weight)
    places = assert_same_labels(ours.example_identifiers, theirs.example_identifiers, theirs)
    images = ours.generate_mono_batch(places)["features"].data
    expected = np.array(theirs.generate_mono_batch(list(range(theirs.get_n_events())))["features"].data)
    assert images.shape == (theirs.get_n_events(), *ours.input_shape)
    np.testing.assert_array_equal(images, expected)


def test_stereo_batches_are_those_of_ctlearn(files):
    ours, theirs = open_both(files, mode="stereo", min_telescopes=2)
    assert ours.get_n_events() == theirs.get_n_events() > 5
    assert (ours.n_signal_events, ours.n_bkg_events) == (theirs.n_signal_events, theirs.n_bkg_events)
    keys = ("obs_id", "event_id")
    events = {key: i for i, key in enumerate(rows_of(ours.unique_example_identifiers, keys))}
    for number, key in list(enumerate(rows_of(theirs.unique_example_identifiers, keys)))[:12]:
        one, other = ours.generate_stereo_batch([events[key]]), theirs.generate_stereo_batch([number])
        assert rows_of(one, IDS) == rows_of(other, IDS)
        assert (one["table_index"] >= 0).tolist() == (other["table_index"] >= 0).tolist()
        np.testing.assert_allclose(one["hillas_intensity"], other["hillas_intensity"], rtol=1e-4)
        np.testing.assert_allclose(one["log_true_energy"], other["log_true_energy"], rtol=1e-6)
        blank = one["table_index"].data < 0
        assert not one["features"][blank].any()
        sums, expected = (np.asarray(batch["features"].data)[..., 0].sum(axis=(1, 2)) for batch in (one, other))
        np.testing.assert_allclose(sums, expected, rtol=1e-4, atol=0.01)


def test_one_dataset_of_gammas_and_protons(files, tmp_path):
    """Gammas are the signal where no background is named; the same events as in two folders."""
    from image_extractor.ctlearn_reader import ImageExtractorReader

    folder, *_ = files
    urls = [folder / "ours" / primary / "a.h5" for primary in ("gamma", "proton")]
    together, apart = ImageExtractorReader(urls), ImageExtractorReader(urls[:1], urls[1:])
    assert together.class_weight == apart.class_weight
    assert rows_of(together.example_identifiers, IDS) == rows_of(apart.example_identifiers, IDS)
    assert isinstance(together.generate_mono_batch([0, 1]), Table)
    with pytest.raises(DatasetError, match=r"no telescope of \[.SST_ASTRI_ASTRICam.\]: it has "):
        ImageExtractorReader(urls, allowed_tel_types=["SST_ASTRI_ASTRICam"])


def test_criteria_need_parameters(tmp_path):
    from traitlets.config import Config

    from image_extractor.ctlearn_reader import ImageExtractorReader

    write_demo_file(tmp_path / "a.simtel", events=5, telescopes="LST:2")
    ImageExtractor(
        tmp_path / "a.h5", None, "gh_class", storage_mode="mapped", telescope_type_mode="LST", use_pkl_dict=False,
        image_scale_factor=1, energy_bins_min=-3, energy_bins_max=4, energy_bins_bin_size=7,
    ).process_files([tmp_path / "a.simtel"], jobs=1)  # fmt: skip
    with pytest.raises(DatasetError, match=r"has no hillas_intensity.*which quality criteria name"):
        ImageExtractorReader([tmp_path / "a.h5"], channels=["image"])
    config = Config({"TableQualityQuery": {"quality_criteria": []}})
    reader = ImageExtractorReader([tmp_path / "a.h5"], channels=["image"], mode="stereo", config=config)
    assert (reader.generate_stereo_batch([0])["hillas_intensity"] > 0).any()


def test_what_it_can_not_do_is_refused(files, tmp_path):
    import tables

    from image_extractor.ctlearn_reader import ImageExtractorReader

    folder, _ = files
    with pytest.raises(TraitError, match="there is one type, of which min_telescopes asks"):
        ImageExtractorReader([folder / "ours" / "gamma" / "a.h5"], min_telescopes_of_type=2)
    for name, value, message in (
        ("kind", "observed", "is observed: there is no truth to learn"),
        ("tel_pointing", 1, "telescopes look elsewhere than their array"),
    ):
        path = tmp_path / f"{name}.h5"
        shutil.copy(folder / "ours" / "gamma" / "a.h5", path)
        with tables.open_file(path, "a") as file:
            file.root._v_attrs[name] = value
        with pytest.raises(DatasetError, match=message):
            ImageExtractorReader([path])


#: As the site has it, and what makes it short.
CONFIG = (
    code("docs/howto/training.md", "ctlearn_reader")
    + """
c.TrainCTLearnModel.n_epochs = 1
c.TrainCTLearnModel.batch_size = 4
c.TrainCTLearnModel.validation_split = 0.4
"""
)


@pytest.mark.skipif(not HAS_CTLEARN, reason="CTLearn is not installed")
@pytest.mark.parametrize("tasks", [["type"], ["energy"], ["skydirection"], ["cameradirection"]])
@pytest.mark.parametrize("mode", ["mono", "stereo"])
def test_ctlearn_trains(files, tasks, mode, tmp_path):
    """Its own command, one epoch; a direction in each camera is not one that a network of whole events could have."""
    if (tasks, mode) == (["cameradirection"], "stereo"):
        pytest.skip("CTLearn itself gives two outputs per event, and labels of every telescope")
    folder, *_ = files
    stack = "c.TrainCTLearnModel.stack_telescope_images = True\n" if mode == "stereo" else ""
    (tmp_path / "train.py").write_text(f'{CONFIG}{stack}c.DLDataReader.mode = "{mode}"\n')
    command = [Path(sys.executable).parent / "ctlearn-train-model", "--config", tmp_path / "train.py"]
    command += [
        "--signal",
        folder / "ours" / "gamma",
        "--output",
        tmp_path / "model",
        *(f"--reco={task}" for task in tasks),
    ]
    command += ["--background", folder / "ours" / "proton"] if tasks == ["type"] else []
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert (tmp_path / "model" / "ctlearn_model.keras").exists()

"""Types and names of telescopes: every spelling that reports print chooses them, and an SCT is one by any name."""

import logging

import pytest
import tables

from image_extractor import telescopes
from image_extractor.demo import production as demo_production
from image_extractor.demo import write_demo_file
from image_extractor.inputs.open_runs import describe_telescopes
from image_extractor.inputs.simtel.open_run import open_run

#: Camera and optics as the metadata of a production may have them, by the names of the demo.
ODD = {"LSTCam": ("LSTN-camera", "LSTN_design"), "SCTCam": ("MSTS-camera", "MST")}


@pytest.fixture(scope="module")
def odd_names(tmp_path_factory):
    """A run of an LST under a production's own names, a NectarCam, an SCT that calls its optics MST, and a CHEC."""
    original = demo_production._names

    def names(camera):
        camera_name, optics = ODD.get(camera.name, (camera.name, camera.optics))
        return original(camera) | {"CAMERA_CONFIG_NAME": camera_name, "OPTICS_CONFIG_NAME": optics}

    path = tmp_path_factory.mktemp("odd") / "gamma_run5.simtel.gz"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_production, "_names", names)
        write_demo_file(path, events=3, telescopes="LST:1,MSTN:1,SCT:1,SSTC:1", run=5, energy="5,50", scatter=100)
    return path


@pytest.fixture(scope="module")
def subarray(odd_names):
    with open_run(odd_names) as run:
        return run.subarray


def test_an_sct_is_one_by_its_camera(odd_names, subarray):
    assert subarray.tel[3].camera.name == "MSTS-camera"
    assert telescopes.select(subarray, "ALL") == {"LST": [1], "MST": [2], "SCT": [3], "SST": [4]}
    with open_run(odd_names) as run:
        assert describe_telescopes(run) == ("it has 1 LST LSTN-camera, 1 MST NectarCam, 1 SCT MSTS-camera, 1 SST CHEC")


@pytest.mark.parametrize(
    ("type_mode", "tel_ids"),
    [
        ("LST", [1]),
        ("lst", [1]),
        ("LSTN_design", [1]),
        ("LSTN-design", [1]),
        ("lstn-DESIGN", [1]),
        ("LSTN-camera", [1]),
        ("LSTN_camera", [1]),  # as /Cameras has it
        ("LST_LSTN_design_LSTN-camera", [1]),  # as ctapipe prints it
        ("MST", [2]),  # and not the SCT, whose optics are called so
        ("SCT", [3]),
        ("MSTS-camera", [3]),
        ("nectarcam+GCT", [2, 4]),
        ("all", [1, 2, 3, 4]),
        ("LSTCam", []),
    ],
)
def test_every_spelling_chooses(type_mode, tel_ids, subarray):
    telescopes.check_type_mode(type_mode)
    selected = telescopes.select(subarray, type_mode)
    assert sorted(tel_id for ids in selected.values() for tel_id in ids) == tel_ids


def test_what_a_dataset_prints_chooses_again(odd_names, convert, make_config):
    settings = {"storage_mode": "mapped", "image_scale_factor": 1}
    with tables.open_file(convert(odd_names, make_config(telescope_type_mode="ALL", **settings))) as file:
        rows = file.root.Tel_Table[:]
        cameras = set(file.root.Cameras._v_children)
    assert {row["optics"].decode() for row in rows} == {"LSTN_design", "MST", "GCT"}
    assert cameras == {"LSTN_camera", "NectarCam", "MSTS_camera", "CHEC"}
    with open_run(odd_names) as run:
        for row in rows:
            for column in ("tel_type", "camera", "optics"):
                selected = telescopes.select(run.subarray, row[column].decode())
                assert any(int(row["tel_id"]) in ids for ids in selected.values()) or row[column] == b"MST"


def test_square_pixels_alone_make_no_sct(subarray):
    """2,048 are a CHEC's; and as many behind one mirror are no SCT's."""
    assert telescopes.telescope_type(subarray.tel[4]) == "SST"
    sct = subarray.tel[3]
    assert (sct.camera.geometry.n_pixels, sct.optics.n_mirrors) == (11328, 2)
    single = type(sct.optics)(
        name="MST", size_type="MST", n_mirrors=1, reflector_shape="DAVIES_COTTON",
        equivalent_focal_length=sct.optics.equivalent_focal_length, n_mirror_tiles=1,
        effective_focal_length=sct.optics.effective_focal_length, mirror_area=sct.optics.mirror_area,
    )  # fmt: skip
    one_mirror = type(sct)(name="MST", optics=single, camera=sct.camera)
    assert telescopes.telescope_type(one_mirror) == "MST"


def test_a_camera_counts_before_its_optics_and_type(subarray):
    values = {"MST": 1, "SCT": 2, "msts_camera": 3, "LSTN-design": 4, "LST": 5}
    found = [values.get(telescopes.best_key(subarray.tel[tel_id], values)) for tel_id in (1, 2, 3, 4)]
    assert found == [4, 1, 3, None]


def test_a_word_without_telescope_is_said_once(production, convert, make_config, caplog):
    """Telescopes that were asked for and are in no file: a line for the run, not for each file."""
    config = make_config(telescope_type_mode="LST+SCT", image_scale_factor=1, storage_mode="mapped")
    convert(f"{production[0].parent}/gamma*", config)
    said = [r.getMessage() for r in caplog.records if "no telescope has this name" in r.getMessage()]
    assert said == [f"[telescope] type_mode: SCT: no telescope has this name in 3 files, such as {production[0]}"]
    assert all(r.levelno == logging.WARNING for r in caplog.records if "no telescope has" in r.getMessage())


def test_a_name_of_no_camera_is_said(production, convert, make_config, caplog):
    """A slip in the name of a camera would leave its value unused; a known one may be for other files."""
    values = {"NectarCam": "axial", "CHECK": "axial"}
    config = make_config(telescope_type_mode="LST+SST", image_mapping_of=values, storage_mode="mapped")
    convert(production[0], config)
    said = [r.getMessage() for r in caplog.records if "no telescope has this name" in r.getMessage()]
    assert said == [f"[image] [[mapping_of]] CHECK: no telescope has this name in {production[0]}"]

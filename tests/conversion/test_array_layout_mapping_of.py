"""[image] mapping_of and shape_of: cameras of one dataset that become arrays in different ways."""

import itertools

import numpy as np
import pytest
import tables

from image_extractor.commands.convert import main
from image_extractor.dataset import ImageDataset
from image_extractor.demo import production as demo_production
from image_extractor.demo import write_demo_file
from image_extractor.viewing import dataset_check
from image_extractor.viewing.event_images import open_events

ALL = {"telescope_type_mode": "ALL", "image_mode": "PIXELS_TIMING_2C", "image_scale_factor": 1}
MIXED = {"image_mapping": "oversampling", "image_mapping_of": {"SST": "shifting", "lstcam": "bilinear"}, **ALL}


def arrays(path):
    """Return {(event number, telescope id): stored array} and the attributes of /Cameras, by plain PyTables."""
    found = {}
    with tables.open_file(path) as file:
        group, ids = file.root.E0, file.root.Tel_Table[:]["tel_id"].tolist()
        rows = group.Events[:]
        for row, (position, tel_id) in itertools.product(rows, enumerate(ids)):
            if "tel_map" in rows.dtype.names:
                if row["tel_map"][position] >= 0:
                    found[int(row["event_number"]), tel_id] = group[f"T{tel_id}"][row["tel_map"][position]]
            elif row["trig_list"][position]:
                found[int(row["event_number"]), tel_id] = row[f"T{tel_id}"]
        cameras = {node._v_name: (str(node._v_attrs.mapping), tuple(node._v_attrs.array_shape))
                   for node in file.root.Cameras._f_iter_nodes()}  # fmt: skip
    return found, cameras


@pytest.mark.one_in(2)
@pytest.mark.parametrize("storage_mode", ["mapped", "all"])
def test_each_camera_has_its_mapping(storage_mode, all_cameras, convert, make_config):
    """As if each was converted alone; `oversampling` for all fails, for square cameras it makes no sense."""
    kinds = {"LSTCam": "bilinear", "MST": "oversampling", "SST": "shifting", "SCT": "rebinning"}
    values = {"SST": "shifting", "lstcam": "bilinear", "SCT": "rebinning"}
    settings = {**MIXED, "image_mapping_of": values, "storage_mode": storage_mode}
    output = convert(all_cameras, make_config(**settings), output="mixed.h5")
    mixed, cameras = arrays(output)
    found = set()
    for word, mapping in kinds.items():
        alone = make_config(**ALL | {"telescope_type_mode": word}, storage_mode="mapped", image_mapping=mapping)
        expected, of_camera = arrays(convert(all_cameras, alone, output=f"{word}.h5"))
        assert of_camera.items() <= cameras.items()
        for key, array in expected.items():
            assert np.array_equal(mixed[key], array)
        found |= expected.keys()
    assert found == mixed.keys()
    assert dataset_check.check(output)[0] == []
    with tables.open_file(output) as file:
        attributes = [node._v_attrs.mapping for node in file.walk_nodes("/E0") if "image_mode" in node._v_attrs]
    together = "bilinear+oversampling+rebinning+shifting"
    assert set(attributes) == (set(kinds.values()) | {together} if storage_mode == "mapped" else {together})


@pytest.mark.one_in(2)
@pytest.mark.parametrize("storage_mode", ["mapped", "all"])
def test_readers_take_the_mapping_of_the_camera(storage_mode, all_cameras, convert, make_config, capsys):
    from image_extractor.commands.read_data import main as read_data

    chosen = {"storage_mode": storage_mode, "telescope_type_mode": "LST+CHEC"}
    mixed = convert(all_cameras, make_config(**MIXED | chosen), output="mixed.h5")
    plain = convert(all_cameras, make_config(**ALL | chosen), output="plain.h5")
    ssts = []
    with open_events(mixed) as ours, open_events(plain) as exact:
        assert [camera.is_lossless for camera in ours.cameras.values()] == [name == "CHEC" for name in ours.cameras]
        for table in exact.tables():
            for row in range(table.nrows):
                event = exact.event(table, row)
                (place,) = ours.find(event.values["run_number"], event.values["event_number"])
                pairs = zip(ours.event(*place).images, event.images, strict=True)
                ssts += [(one.charge, other.charge) for one, other in pairs if one.tel_type == "SST"]
    assert ssts
    assert all(np.array_equal(one, other) for one, other in ssts)
    assert read_data([str(mixed)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "mappings CHEC shifting, LSTCam bilinear" in printed
    assert "[image] [[mapping_of]] SST = shifting; [image] [[mapping_of]] lstcam = bilinear" in printed
    # files agree in what is chosen of them, whatever the mapping of other telescopes
    with ImageDataset([mixed, plain], "Events", telescopes="SST") as dataset:
        assert len(dataset) > 0
    with pytest.raises(ValueError, match=r"made with mapping = shifting, .* with bilinear"):
        ImageDataset([mixed, plain], "Events", telescopes="LST")


def test_shapes_of_single_cameras(all_cameras, convert, make_config):
    settings = {**MIXED, "image_shape": 90, "image_shape_of": {"LST": 64, "FlashCam": "auto"}}
    config = make_config(storage_mode="mapped", **settings, telescope_tel_ids=[1, 2, 3, 5])
    _, cameras = arrays(convert(all_cameras, config))
    assert cameras["LSTCam"] == ("bilinear", (64, 64))
    assert cameras["NectarCam"] == ("oversampling", (90, 90))
    assert cameras["FlashCam"][1] not in ((90, 90), (64, 64))
    assert cameras["CHEC"] == ("shifting", (48, 48))  # which has no choice


def test_one_camera_with_two_mappings(convert, make_config, tmp_path):
    """LSTs of two kinds of optics with one camera: two entries of /Cameras."""
    north, south = ({"OPTICS_CONFIG_NAME": f"LST{site}_design", "PARABOLIC_DISH": dish} for site, dish in ("N1", "S0"))
    original, optics = demo_production._names, iter([north, south, north])
    path = tmp_path / "gamma_run1.simtel.gz"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_production, "_names", lambda camera: original(camera) | next(optics))
        write_demo_file(path, events=4, telescopes="LST:3", run=1, energy="1,10", scatter=100)
    config = make_config(storage_mode="mapped", **ALL | {"image_mapping_of": {"LSTS-design": "axial"}})
    output = convert(path, config)
    with tables.open_file(output) as file:
        assert file.root.Tel_Table[:]["camera"].tolist() == [b"LSTCam", b"LSTCam_2", b"LSTCam"]
        assert [file.root.E0[f"T{tel_id}"]._v_attrs.mapping for tel_id in (1, 2, 3)] == [
            "shifting",
            "axial",
            "shifting",
        ]
        assert str(file.root.Cameras.LSTCam_2._v_attrs.mapping) == "axial"
        assert file.root.Cameras.LSTCam_2._v_attrs.camera_name == "LSTCam"
    assert dataset_check.check(output)[0] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_mapping": "oversampling"}, "[image] mapping = oversampling: camera CHEC has square pixels: must be one of "
         "shifting, axial, nearest, bilinear, bicubic, rebinning: give it one of its own, CHEC = shifting in [image] "
         "[[mapping_of]], or leave it out with [telescope] type_mode"),
        ({"image_mapping_of": {"SST": "oversampling"}}, "[image] mapping = oversampling: camera CHEC has square pixels: "),
        ({"image_mapping": "bilinear", "image_mapping_of": {"SST": "axial"}, "image_shape_of": {"CHEC": 50}},
         "[image] [[shape_of]] CHEC = 50 with mapping = axial: must be auto, only mappings that resample have a choice"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_names_the_setting(settings, message, production, make_config, tmp_path, caplog):
    config = make_config(**ALL, **settings)
    assert main([production[0], tmp_path / "o.h5", config, "--jobs", 1]) == 2
    assert caplog.messages[-1].startswith(message)
    assert "\n" not in caplog.messages[-1]


def test_the_setting_that_is_named_helps(production, convert, make_config):
    config = make_config(**ALL, image_mapping="oversampling", image_mapping_of={"CHEC": "shifting"})
    _, cameras = arrays(convert(production[0], config))
    assert {name: mapping for name, (mapping, _) in cameras.items()} == {"LSTCam": "oversampling", "CHEC": "shifting"}

"""Telescopes of other optics are other telescopes."""

import struct

import numpy as np
import pytest
import tables
from helpers.simtel_objects import edited, read_objects

from image_extractor.commands.convert import main
from image_extractor.demo import write_demo_file
from image_extractor.inputs.simtel.open_run import open_run

CAMERA_SETTINGS = 2002


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("optics") / "gamma_run1.simtel"
    write_demo_file(path, events=2, telescopes="LST:2", seed=3)
    return path


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    path = tmp_path_factory.mktemp("optics") / "gamma_run2.simtel"
    write_demo_file(path, events=2, telescopes="LST:2", run=2, seed=4)
    return path


@pytest.fixture
def one_telescope(make_config):
    return make_config(storage_mode="mapped", telescope_type_mode="LST")


def with_optics(run, path, offset, value, tel_id=2):
    """Write a copy of a run, a telescope of which has another number in its camera settings."""

    def change(one):
        if one.type == CAMERA_SETTINGS and one.id == tel_id:
            one.put("<f", offset % len(one.payload), value)

    return edited(run, path, change)


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("offset", "factor", "said"),
    [
        (4, 1.01, "an equivalent focal length of"),
        (8, 1.01, "an effective focal length of"),
        (-8, 0.5, "a mirror of"),
    ],
)
def test_other_optics_do_not_merge(run, second, tmp_path, one_telescope, convert, caplog, offset, factor, said):
    (old,) = (one for one in read_objects(second) if one.type == CAMERA_SETTINGS and one.id == 2)
    (value,) = struct.unpack_from("<f", old.payload, offset % len(old.payload))
    other = with_optics(second, tmp_path / "other.simtel", offset, value * factor)
    output = convert(run, one_telescope)
    before = output.read_bytes()
    assert main([str(other), str(output), str(one_telescope), "--jobs", "1"]) == 1
    line = next(record.getMessage() for record in caplog.records if str(other) in record.getMessage())
    assert f"telescope 2 has {said} {np.float32(value * factor):.6g} m" in line
    assert f"not {value:.6g} m" in line
    assert output.read_bytes() == before
    # nor do they in one run of the command
    both = convert(f"{run.parent}/*", one_telescope, output="alone.h5")
    other.rename(run.parent / other.name)
    try:
        again = convert(f"{run.parent}/*", one_telescope, output="both.h5", code=1)
    finally:
        (run.parent / other.name).unlink()
    with tables.open_file(both) as one, tables.open_file(again) as two:
        assert one.root.Run_Table[:]["file_name"].tolist() == two.root.Run_Table[:]["file_name"].tolist()


def test_optics_that_only_float32_tells_apart_merge(run, second, tmp_path, one_telescope, convert):
    other = with_optics(second, tmp_path / "other.simtel", 4, np.nextafter(np.float32(28), np.float32(29)))
    output = convert(run, one_telescope)
    convert(other, one_telescope)
    with tables.open_file(output) as file:
        assert len(file.root.Run_Table) == 2


def test_tel_table_has_both_focal_lengths_and_the_mirror_area(run, one_telescope, convert):
    with open_run(run) as source, tables.open_file(convert(run, one_telescope)) as file:
        table = file.root.Tel_Table
        assert table._v_attrs.focal_length_choice == "EFFECTIVE"
        for row in table[:]:
            optics = source.subarray.tel[row["tel_id"]].optics
            assert row["focal_length"] == np.float32(optics.equivalent_focal_length.to_value("m"))
            assert row["effective_focal_length"] == np.float32(optics.effective_focal_length.to_value("m"))
            assert row["effective_focal_length"] != row["focal_length"]
            assert row["mirror_area"] == np.float32(optics.mirror_area.to_value("m2"))


def test_other_kind_of_focal_length_does_not_merge(run, second, tmp_path, one_telescope, convert, caplog):
    """Without an effective focal length ctapipe is told to take the equivalent one of all telescopes."""

    def without_effective(one):
        if one.type == CAMERA_SETTINGS:
            one.version = 4
            del one.payload[8:12]

    other = edited(second, tmp_path / "other.simtel", without_effective)
    old = convert(other, one_telescope, output="old.h5")
    with tables.open_file(old) as file:
        assert file.root.Tel_Table._v_attrs.focal_length_choice == "EQUIVALENT"
        assert np.isnan(file.root.Tel_Table[1]["effective_focal_length"])
    output = convert(run, one_telescope)
    assert main([str(other), str(output), str(one_telescope), "--jobs", "1"]) == 1
    assert "made with the equivalent focal lengths, not the effective ones" in caplog.text


def test_real_optics(real, convert, make_config):
    """lst_muons is too old for effective focal lengths."""
    with tables.open_file(convert(real("lst_muons.simtel.zst"), make_config(telescope_type_mode="LST"))) as file:
        assert file.root.Tel_Table._v_attrs.focal_length_choice == "EQUIVALENT"
        (row,) = file.root.Tel_Table[:]
        assert (row["focal_length"], row["mirror_area"]) == (28, np.float32(386.73325))
        assert np.isnan(row["effective_focal_length"])

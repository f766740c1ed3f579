"""A sound dataset passes the check, and each kind of damage is named."""

import faulthandler
import os
import shutil
import signal
import threading
import time

import numpy as np
import pytest
import tables
from helpers.made_dataset import write_dataset
from helpers.processes import called, run_script
from helpers.resealed import changed

from image_extractor.commands.read_data import main as read_data
from image_extractor.viewing.dataset_check import check

VARIANTS = [
    {},
    {"storage_mode": "all", "image_mode": "PIXELS_TIMING_2C", "image_dim_order": "channels_first"},
    {"mode": "energy_recon", "seed": 1, "split": {"Training": 0.9, "Validation": 0.1}},
    {"dictionary": True, "seed": 1, "split": {"Training": 0.5, "Validation": 0.25, "Test": 0.25}},
    {"mode": "energy_recon", "storage_mode": "all", "dictionary": True, "image_mapping": "axial"},
    {"n_events": (0, 0)},
]


@pytest.mark.one_in(3)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_sound_dataset_passes(tmp_path, variant):
    made = write_dataset(tmp_path / "made.h5", **variant)
    problems, n_events, n_images = check(tmp_path / "made.h5")
    assert problems == []
    assert (n_events, n_images) == (len(made), sum(len(event.pixels) for event in made))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Datasets to be damaged, by variant."""
    folder = tmp_path_factory.mktemp("sound")
    variants = {"mapped": {}, "all": {"storage_mode": "all"}}
    variants |= {"labels": {"mode": "energy_recon"}, "dictionary": {"dictionary": True}}
    for name, settings in variants.items():
        write_dataset(folder / f"{name}.h5", (30, 20), **settings)
    return folder


def largest(file):
    """Return the Events table with the most rows, and its group."""
    nodes = [node for node in file.walk_nodes("/", "Table") if node._v_name == "Events"]
    table = max(nodes, key=lambda node: node.nrows)
    return table, table._v_parent


def change(table, row, **columns):
    """Change columns of a row: a value, or a function of the old one."""
    rows = table.read(row, row + 1)
    for name, value in columns.items():
        rows[name] = value(rows[name]) if callable(value) else value
    table.modify_rows(row, row + 1, rows=rows)


def mapped_row(table, position=0, at_least=0):
    return int(np.flatnonzero(table.read(field="tel_map")[:, position] >= at_least)[0])


def tel_map_out_of_range(file):
    table, group = largest(file)
    row, n_images = mapped_row(table), group.T1.nrows
    tel_map = table[row]["tel_map"].copy()
    tel_map[0] = n_images
    change(table, row, tel_map=tel_map)


def tel_map_below_minus_one(file):
    table, _ = largest(file)
    change(table, 0, tel_map=lambda old: np.where(old < 0, old, -7))


def image_used_twice(file):
    table, _ = largest(file)
    tel_map = table.read(field="tel_map")
    first, second = np.flatnonzero(tel_map[:, 0] >= 0)[:2]
    changed = tel_map[second].copy()
    changed[0] = tel_map[first, 0]
    change(table, second, tel_map=changed)


def orphan_image(file):
    _, group = largest(file)
    group.T1.append(group.T1[:1])


def row_lost(file):
    table, _ = largest(file)
    table.remove_rows(0, 1)


def row_twice(file):
    table, _ = largest(file)
    table.append(table[:1])


def row_without_image(file):
    table, _ = largest(file)
    change(table, 0, tel_map=-1)


def energy_elsewhere(file):
    change(largest(file)[0], 1, mc_energy=lambda energy: energy * 50)


def reconstructed_elsewhere(file):
    change(largest(file)[0], 1, reconstructed_energy=lambda energy: energy * 50)


def reconstructed_lost(file):
    change(largest(file)[0], 1, reconstructed_energy=np.nan)


def reconstructed_from_nowhere(file):
    change(largest(file)[0], 1, reconstructed_energy=lambda _: 1.5)


def label_wrong(file):
    change(largest(file)[0], 1, energy_reconstruction_bin_label=lambda label: label + 1)


def primary_wrong(file):
    change(largest(file)[0], 1, gamma_hadron_label=402)


def written_wrong(file):
    change(file.root.Run_Table, 0, events_written=lambda n: n + 1)


def images_wrong(file):
    change(file.root.Run_Table, 1, images=lambda n: n - 1)


def run_twice(file):
    file.root.Run_Table.append(file.root.Run_Table[:1])


def light_beside_the_camera(file):
    """Corners of the arrays of a hexagonal camera have no pixel."""
    table, group = largest(file)
    if "tel_map" in table.colnames:
        image = group.T1[0]
        image[0, 0, 0] = 1
        group.T1[0] = image
    else:
        row = int(np.flatnonzero(table.col("trig_list")[:, 0])[0])
        images = table.read(row, row + 1)["T1"]
        images[0, 0, 0, 0] = 1
        change(table, row, T1=images)


def trig_list_says_no(file):
    table, _ = largest(file)
    row = int(np.flatnonzero(table.read(field="trig_list").sum(axis=1) > 1)[0])
    trig_list = table[row]["trig_list"].copy()
    trig_list[np.flatnonzero(trig_list)[0]] = 0
    change(table, row, trig_list=trig_list)


def trig_list_of_two(file):
    change(largest(file)[0], 0, trig_list=lambda old: old * 2)


def camera_missing(file):
    file.rename_node("/Cameras/HexCam", "OtherCam")


def cell_shared(file):
    change(file.root.Cameras.HexCam, 1, array_x=file.root.Cameras.HexCam[0]["array_x"])
    change(file.root.Cameras.HexCam, 1, array_y=file.root.Cameras.HexCam[0]["array_y"])


def cell_outside(file):
    change(file.root.Cameras.HexCam, 3, array_x=99)


def telescope_twice(file):
    change(file.root.Tel_Table, 1, tel_id=1)


def pixels_wrong(file):
    change(file.root.Tel_Table, 1, n_pixels=5)


def array_missing(file):
    file.remove_node(largest(file)[1].T2)


def array_of_no_telescope(file):
    _, group = largest(file)
    file.copy_node(group.T2, group, "T3")


def array_of_other_shape(file):
    _, group = largest(file)
    group.T7._f_rename("T8")
    file.copy_node(group.T1, group, "T7")


def group_missing(file):
    file.remove_node(largest(file)[1], recursive=True)


def edges_wrong(file):
    largest(file)[1]._v_attrs.min_energy = -5.0


def runs_missing(file):
    file.remove_node("/Run_Table")


def column_missing(file):
    table, group = largest(file)
    rows = table[:]
    kept = [name for name in rows.dtype.names if name != "mc_energy"]
    table.remove()
    file.create_table(group, "Events", obj=np.ascontiguousarray(rows[kept].astype(rows[kept].dtype)))


def events_missing(file):
    file.remove_node(largest(file)[0])


DAMAGES = [
    ("mapped", tel_map_out_of_range, "tel_map of telescope 1 outside its"),
    ("mapped", tel_map_below_minus_one, "outside its"),
    ("mapped", image_used_twice, "T1: 1 image used more than once, first image"),
    ("mapped", image_used_twice, "T1: 1 image of no row of Events"),
    ("mapped", orphan_image, "T1: 1 image of no row of Events, first image"),
    ("mapped", row_lost, "events_written is"),
    ("mapped", row_twice, "1 event more than once, first run 4"),
    ("all", row_twice, "1 event more than once, first run 4"),
    ("mapped", row_without_image, "no image in 1 row, first in row 0"),
    ("mapped", energy_elsewhere, "true energy outside the bin in 1 row, first in row 1"),
    ("all", energy_elsewhere, "true energy outside the bin in 1 row, first in row 1"),
    ("labels", energy_elsewhere, "a label that is not the bin of the true energy in 1 row, first in row 1"),
    ("labels", label_wrong, "a label that is not the bin of the true energy in 1 row, first in row 1"),
    ("dictionary", reconstructed_elsewhere, "reconstructed energy outside the bin in 1 row, first in row 1"),
    ("dictionary", reconstructed_lost, "no reconstructed energy in 1 row, though the run has a dictionary"),
    ("mapped", reconstructed_from_nowhere, "a reconstructed energy in 1 row, though the run has no dictionary"),
    ("mapped", primary_wrong, "a run number or primary other than that of its run"),
    ("mapped", written_wrong, "run 4 (gamma): events_written is 31, the tables have 30"),
    ("mapped", written_wrong, "35 events read, but 5 dropped and 31 written"),
    ("all", images_wrong, "run 4 (proton): images is"),
    ("mapped", run_twice, "run4_0.simtel.gz, run 4 (gamma): is there twice"),
    ("all", trig_list_says_no, "where trig_list has none, in 1 row, first in row"),
    ("all", trig_list_of_two, "trig_list neither 0 nor 1 in 1 row, first in row 0"),
    ("mapped", light_beside_the_camera, "T1: not 0 where the camera has no pixel, in 1 row, first in row 0"),
    ("all", light_beside_the_camera, "Events, T1: not 0 where the camera has no pixel, in 1 row, first in row"),
    ("mapped", camera_missing, "/Tel_Table: telescope 1: /Cameras has no entry HexCam"),
    ("mapped", cell_shared, "/Cameras/HexCam: two pixels share a cell"),
    ("mapped", cell_outside, "/Cameras/HexCam: 1 pixel outside the array"),
    ("mapped", telescope_twice, "/Tel_Table: tel_id is not ascending"),
    ("mapped", pixels_wrong, "telescope 2: n_pixels is 5, /Cameras/HexCam has 61"),
    ("mapped", array_missing, "T2: the image array is missing"),
    ("mapped", array_of_no_telescope, "T3: Tel_Table has no telescope 3"),
    ("mapped", array_of_other_shape, "T7: images of float32"),
    ("mapped", group_missing, "the group is missing; the settings have 4 energy bins"),
    ("mapped", edges_wrong, "its edges are -5.0"),
    ("mapped", events_missing, "no table Events"),
    ("mapped", runs_missing, "/Run_Table is missing"),
    ("mapped", column_missing, "the column mc_energy is missing"),
]


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("variant", "damage", "line"), DAMAGES, ids=lambda value: getattr(value, "__name__", None))
def test_damage_is_named(sound, tmp_path, variant, damage, line):
    path = tmp_path / "damaged.h5"
    shutil.copy(sound / f"{variant}.h5", path)
    with changed(path) as file:
        damage(file)
    problems, *_ = check(path)
    assert any(line in problem for problem in problems), problems
    assert all("\n" not in problem for problem in problems)


def test_blocks_make_no_difference(sound, tmp_path, monkeypatch):
    path = tmp_path / "damaged.h5"
    shutil.copy(sound / "mapped.h5", path)
    with changed(path) as file:
        for damage in (image_used_twice, row_twice, energy_elsewhere, primary_wrong):
            damage(file)
    whole = check(path)
    monkeypatch.setattr("image_extractor.hdf5.nodes.COPY_BYTES", 1)  # a row at a time
    assert check(path) == whole


@pytest.mark.slow
def test_exit_codes(sound, tmp_path):
    well = run_script("read_data.py", sound / "mapped.h5", "--check")
    assert (well.returncode, well.stderr) == (0, "")
    assert well.stdout.count("\n") == 1
    assert "all is well: 50 events" in well.stdout

    shutil.copy(sound / "mapped.h5", tmp_path / "bad.h5")
    with changed(tmp_path / "bad.h5") as file:
        orphan_image(file)
    bad = run_script("read_data.py", tmp_path / "bad.h5", "--check")
    assert (bad.returncode, bad.stderr) == (1, "")
    assert bad.stdout.startswith(f"{tmp_path / 'bad.h5'}: /E")
    assert bad.stdout.count("\n") == 1


def test_wildcards_of_numbered_outputs(sound, tmp_path):
    """Quoted or spelt out by the shell; a bad one is named and the others are looked at."""
    paths = [tmp_path / f"o_{number:04}.h5" for number in (0, 1, 10)]
    for path in (paths[0], paths[2]):
        shutil.copy(sound / "mapped.h5", path)
    paths[1].write_text("none")
    for given in ([tmp_path / "o_*.h5"], paths):
        result = called("read_data", *given, "--check")
        assert (result.returncode, result.stderr) == (1, f"{paths[1]}: not a readable HDF5 file\n")
        lines = result.stdout.splitlines()
        assert [line.partition(": all is well: 50 events")[0] for line in lines] == [str(paths[0]), str(paths[2])]
    paths[1].unlink()
    result = called("read_data", f"{tmp_path}/o_*.h5")
    assert (result.returncode, result.stderr) == (0, "")
    lines = [line for line in result.stdout.splitlines() if line.startswith("file ")]
    assert [line.split()[1].rstrip(",") for line in lines] == [str(paths[0]), str(paths[2])]


@pytest.mark.parametrize("option", [[], ["--check"], ["--events", "2"]])
def test_what_is_no_dataset_is_refused_in_one_line(tmp_path, option):
    (tmp_path / "text.h5").write_text("no HDF5")
    tables.open_file(str(tmp_path / "empty.h5"), "w").close()
    for name, code in {"text.h5": 1, "empty.h5": 1, "absent.h5": 2, "absent*.h5": 2, "": 2}.items():
        path = tmp_path / name
        result = called("read_data", path, *option)
        assert (result.returncode, result.stdout) == (code, "")
        assert result.stderr.startswith(f"{path}: ")
        assert result.stderr.count("\n") == 1


def test_images_that_can_not_be_read_are_one_line(sound, tmp_path):
    path = tmp_path / "flipped.h5"
    shutil.copy(sound / "mapped.h5", path)
    with tables.open_file(str(path)) as file:
        array = largest(file)[1].T1
        place = array.chunk_info((0,) * array.ndim).offset
    content = bytearray(path.read_bytes())
    content[place : place + 16] = bytes(16)
    path.write_bytes(content)
    checked = called("read_data", path, "--check")
    assert (checked.returncode, checked.stderr) == (1, "")
    assert checked.stdout.startswith(f"{path}: damaged")
    assert checked.stdout.count("\n") == 1


def test_a_damaged_block_is_one_line(sound, tmp_path):
    path = tmp_path / "flipped.h5"
    shutil.copy(sound / "all.h5", path)
    with tables.open_file(str(path)) as file:
        place = max(largest(file)[0].chunk_info((0,)).offset, 1)
    content = bytearray(path.read_bytes())
    content[place : place + 64] = bytes(64)
    path.write_bytes(content)
    summary, checked = called("read_data", path), called("read_data", path, "--check")
    assert (summary.returncode, summary.stdout, checked.returncode, checked.stderr) == (1, "", 1, "")
    for line in (summary.stderr, checked.stdout):
        assert line.startswith(f"{path}: damaged")
        assert line.count("\n") == 1


def test_a_dataset_that_hdf5_crashes_on_is_named(sound, monkeypatch, capsys):
    """As some flipped bits of metadata make it do: the next dataset is checked all the same."""

    def crash(path):
        if "all" in path.name:
            faulthandler.disable()  # as without pytest
            os.kill(os.getpid(), signal.SIGSEGV)
        return check(path)

    monkeypatch.setattr("image_extractor.viewing.dataset_check.check", crash)
    assert read_data(["--check", str(sound / "all.h5"), str(sound / "mapped.h5")]) == 1
    printed = capsys.readouterr()
    assert printed.err == f"{sound / 'all.h5'}: damaged: HDF5 crashes when it reads it\n"
    assert "mapped.h5: all is well: " in printed.out


def test_an_interrupted_check_does_not_wait_for_what_reads(sound, monkeypatch, capsys):
    """Nor does that process stay."""
    note = sound / "pid"

    def endless(_path):
        note.write_text(str(os.getpid()))
        time.sleep(600)

    monkeypatch.setattr("image_extractor.viewing.dataset_check.check", endless)
    threading.Thread(target=terminated_when, args=(note,), daemon=True).start()
    assert read_data(["--check", str(sound / "all.h5")]) == 143
    assert capsys.readouterr().err == "interrupted\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def terminated_when(note):
    while not note.exists() or not note.read_text():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)

"""ctapipe's files with images through the command: the dataset is that of the simtel file, bit for bit."""

import itertools
import pickle
import re
import shutil
import warnings

import numpy as np
import pytest
import tables
from helpers.ctapipe_process import stored_by_ctapipe
from helpers.processes import called, run_command
from helpers.reading import read_dataset
from helpers.real_files import REAL_FILES
from helpers.same_datasets import assert_same, nodes
from numpy.lib.recfunctions import repack_fields

from image_extractor.inputs.ctapipe_hdf5 import image_run
from image_extractor.inputs.open_runs import open_runs

IMAGES = "/dl1/event/telescope/images"
VERSION = "CTA PRODUCT DATA MODEL VERSION"
MAPPED = {
    "mode": "energy_recon", "energy_recon_gamma_only": False, "storage_mode": "mapped", "image_scale_factor": 1,
    "image_mode": "PIXELS_TIMING_3C", "telescope_type_mode": "ALL", "parameters_store": True,
}  # fmt: skip
#: The masks in the file are made with ctapipe's own thresholds, which are others.
ALL = {"mode": "gh_class", "storage_mode": "all", "image_mode": "PIXELS_MASK_2C", "telescope_type_mode": "LST+SST"}


@pytest.mark.parametrize("settings", [MAPPED, ALL], ids=["mapped, parameters", "all, masks"])
def test_the_dataset_is_that_of_the_simtel_file(two_runs, settings, make_config, convert):
    simtel, hdf5 = two_runs[0]
    config = make_config(**settings)
    assert_same(convert(simtel, config, output="simtel.h5"), convert(hdf5, config, output="hdf5.h5"))


@pytest.mark.slow
@pytest.mark.parametrize("settings", [MAPPED, {**ALL, "telescope_type_mode": "ALL"}], ids=["mapped", "all"])
@pytest.mark.parametrize("name", [*REAL_FILES, "proton_lst_flashcam.simtel.zst"])
def test_real_files(real, name, settings, make_config, convert, tmp_path, caplog):
    simtel = real(name)
    choice = "EQUIVALENT" if "muons" in name else "EFFECTIVE"
    hdf5 = stored_by_ctapipe(
        simtel, tmp_path / "real.dl1.h5", focal_length=choice, write_dl1_images=True, write_dl1_parameters=True
    )
    config = make_config(**settings)
    outputs = convert(simtel, config, output="simtel.h5"), convert(hdf5, config, output="hdf5.h5")
    with tables.open_file(hdf5) as file:
        is_counted = "/simulation/service/shower_distribution" in file
    assert ("does not say how many showers were simulated" in caplog.text) != is_counted
    assert_same(*outputs, but=() if is_counted else ("showers_read", "uses_read"))


@pytest.mark.slow
def test_all_cameras(all_cameras, make_config, convert, tmp_path):
    hdf5 = stored_by_ctapipe(all_cameras, tmp_path / "all.dl1.h5")
    config = make_config(**MAPPED)
    assert_same(convert(all_cameras, config, output="simtel.h5"), convert(hdf5, config, output="hdf5.h5"))


@pytest.mark.parametrize("block", [{}, {"BLOCK_EVENTS": 3}, {"BLOCK_BYTES": 30_000}], ids=str)
def test_merged_runs_have_a_row_each(two_runs, merged, block, make_config, convert, monkeypatch):
    for name, value in block.items():
        monkeypatch.setattr(image_run, name, value)
    config = make_config(**MAPPED)
    separate = convert(f"{two_runs[0][0].parent}/run?.simtel.gz", config, output="simtel.h5")
    together = convert(merged, config, output="hdf5.h5")
    assert_same(separate, together)
    runs = nodes(together)["/Run_Table"]
    assert runs["run_number"].tolist() == [4, 5]
    assert runs["primary"].tolist() == [0, 101]
    assert (runs["uses_read"] == runs["n_showers"] * runs["shower_reuse"]).all()
    assert called("read_data", together, "--check").returncode == 0


def test_a_run_of_a_merged_file_may_be_passed_over(two_runs, merged):
    """The second one is read from where it begins, also where the first one was left."""
    with open_runs(two_runs[1][1]) as runs:
        expected = list(images_of(next(iter(runs))))
    for n_before in (0, 2):
        with open_runs(merged) as runs:
            both = iter(runs)
            list(itertools.islice(images_of(next(both)), n_before))
            second = next(both)
            assert second.obs_id == 5
            assert list(images_of(second)) == expected
            second.check_end()


def images_of(run):
    run.select(run.subarray.tel, lambda *_: True)
    for event in run:
        yield event.index.event_id, {tel_id: dl1.image.tobytes() for tel_id, dl1 in event.dl1.tel.items()}


def test_fixed_point_is_read_to_its_step(two_runs, config, convert, tmp_path):
    simtel, _ = two_runs[0]
    hdf5 = stored_by_ctapipe(
        simtel, tmp_path / "fixed.h5", write_dl1_images=True, transform_image=True, transform_peak_time=True
    )
    with tables.open_file(hdf5) as file:
        table = file.get_node(IMAGES, "tel_001")
        assert table.coldtypes["image"].base.kind in "iu"
        places = [table.colnames.index(name) for name in ("image", "peak_time")]
        steps = [1 / getattr(table.attrs, f"CTAFIELD_{place}_TRANSFORM_SCALE") for place in places]
    exact, fixed = nodes(convert(simtel, config, output="s.h5")), nodes(convert(hdf5, config, output="f.h5"))
    assert exact.keys() == fixed.keys()
    for name in exact.keys() - {"/Run_Table", "/Tel_Table"}:
        if exact[name].dtype.names:
            continue
        for channel, step in enumerate(steps):
            difference = np.abs(exact[name][..., channel] - fixed[name][..., channel])
            assert 0 < difference.max() <= step * 0.501


def test_telescopes_and_a_dictionary_select(two_runs, make_config, convert, tmp_path):
    simtel, hdf5 = two_runs[0]
    with tables.open_file(hdf5) as file:
        events = file.root.dl1.event.subarray.trigger.col("event_id").tolist()
    wanted = {(4, event_id): (0, 1.5) for event_id in events[1::2]}
    (tmp_path / "cuts.pkl").write_bytes(pickle.dumps(wanted))
    config = make_config(use_pkl_dict=True, telescope_type_mode="SST", storage_mode="mapped", trigger_min_telescopes=2)
    outputs = [convert(path, config, tmp_path / "cuts.pkl", output=f"{path.name}.h5") for path in (simtel, hdf5)]
    assert_same(*outputs)
    assert {event["event_number"] for event in read_dataset(outputs[1])} <= set(events[1::2])


def test_it_is_known_again(two_runs, config, convert, capsys):
    _, hdf5 = two_runs[0]
    output = convert(hdf5, config)
    before = output.read_bytes()
    assert convert(hdf5, config) == output
    assert output.read_bytes() == before
    assert "already" in capsys.readouterr().out


def test_images_of_telescopes_that_did_not_trigger(two_runs, config, convert, tmp_path):
    """Their rows are more than the table of triggers announces."""
    _, hdf5 = two_runs[0]
    changed = shutil.copy(hdf5, tmp_path / "changed.h5")
    with tables.open_file(changed, "a") as file:
        table = file.root.dl1.event.subarray.trigger
        rows = table.read()
        rows["tels_with_trigger"][:, 0] = False
        table[:] = rows
    assert_same(convert(hdf5, config, output="whole.h5"), convert(changed, config, output="changed_set.h5"))


def test_files_of_later_versions_are_read(two_runs, config, convert, tmp_path):
    _, hdf5 = two_runs[0]
    later = shutil.copy(hdf5, tmp_path / "later.h5")
    with tables.open_file(later, "a") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", tables.NaturalNameWarning)
        setattr(file.root._v_attrs, VERSION, "v99.0.0")
    assert_same(convert(hdf5, config, output="now.h5"), convert(later, config, output="later_set.h5"))


# -- what is refused, in one line -----------------------------------------------------------------------


def refused(path, config, tmp_path):
    """Return the line in which the command says why it left out a file."""
    done = called("convert", path, tmp_path / "refused.h5", config, "--jobs", 1)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "refused.h5").exists()
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    assert len(lines) == 1
    assert str(path) in lines[0]
    return lines[0]


def _twice(file):
    table = file.root.dl1.event.subarray.trigger
    table.append(table[:1])


def _double(file):
    table = file.root.dl1.event.subarray.trigger
    rows = table[:]
    rows["event_id"][1] = rows["event_id"][0]
    table[:] = rows


def _extra(file):
    table = file.get_node(IMAGES, "tel_001")
    row = table[-1:]
    row["event_id"] += 1000
    table.append(row)


def _no_truth_of_one(file):
    file.root.simulation.event.subarray.shower.remove_row(1)


def _no_times(file):
    for tel in ("tel_001", "tel_002"):
        old = file.get_node(IMAGES, tel)
        rows = old[:]
        kept = [name for name in rows.dtype.names if name != "peak_time"]
        old.remove()
        file.create_table(IMAGES, tel, repack_fields(rows[kept]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_twice, "has an event twice"),
        (_double, "has an event twice"),
        (_extra, "tel_001 has event .* of run 4, which .*trigger does not have"),
        (_no_truth_of_one, "shower lacks event .* of run 4"),
        (_no_times, r"no peak times of telescope 1, which \[image\] mode = PIXELS_TIMING_2C needs"),
        (lambda file: file.remove_node("/configuration/instrument", recursive=True), "damaged, or no file"),
    ],
    ids=["twice", "double", "extra", "no truth", "no times", "no telescopes"],
)
def test_files_that_contradict_themselves(two_runs, config, tmp_path, change, message):
    path = shutil.copy(two_runs[0][1], tmp_path / "changed.h5")
    with tables.open_file(path, "a") as file:
        change(file)
    assert re.search(message, refused(path, config, tmp_path))


def test_files_without_images(two_runs, config, tmp_path):
    path = stored_by_ctapipe(two_runs[0][0], tmp_path / "parameters.h5", write_dl1_parameters=True)
    assert "ctapipe-process --write-images" in refused(path, config, tmp_path)


def test_datasets_of_ours_are_no_input(two_runs, config, convert, tmp_path):
    dataset = convert(two_runs[0][1], config)
    assert "an HDF5 file that ctapipe does not read" in refused(dataset, config, tmp_path)


def test_cut_files_are_named_and_left_out(two_runs, config, tmp_path):
    data = two_runs[0][1].read_bytes()
    (tmp_path / "in").mkdir()
    shutil.copy(two_runs[1][1], tmp_path / "in" / "whole.h5")
    lengths = [1, 8, 100, 2048, *np.linspace(5000, len(data) - 1, 12).astype(int).tolist()]
    for length in lengths:
        (tmp_path / "in" / f"cut{length}.h5").write_bytes(data[:length])
    done = called("convert", f"{tmp_path}/in/*", tmp_path / "o.h5", config, "--jobs", 1)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    assert all(any(f"cut{length}.h5: " in line for line in lines) for length in lengths)
    assert len(lines) == len(lengths)
    assert nodes(tmp_path / "o.h5")["/Run_Table"]["run_number"].tolist() == [5]


def test_damaged_chunks_are_named(two_runs, config, convert, tmp_path):
    """ctapipe's default layout has checksums: a flipped byte of an image does not pass."""
    path = two_runs[0][1]
    with tables.open_file(path) as file:
        table = file.get_node(IMAGES, "tel_001")
        place = table.chunk_info((0,)).offset if hasattr(table, "chunk_info") else None
    if place is None:
        pytest.skip("this PyTables does not tell where chunks are")
    data = bytearray(path.read_bytes())
    data[place + 200 : place + 264] = bytes(64)
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(data)
    assert "HDF5 can't read what is stored in it" in refused(damaged, config, tmp_path)


@pytest.mark.slow
def test_flips_in_200_places(two_runs, config, convert, tmp_path):
    """A flip is named, or hits what is not read: then the dataset is the same.

    HDF5 itself may crash on one, which costs a worker, not the others' work.
    """
    whole = convert(two_runs[0][1], config, output="whole.h5")
    data, random = two_runs[0][1].read_bytes(), np.random.default_rng(5)
    (tmp_path / "in").mkdir()
    places = random.choice(len(data), 200, replace=False).tolist()
    for place in places:
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(random.integers(8))
        (tmp_path / "in" / f"flip{place}.h5").write_bytes(flipped)
    options = "--jobs", 2, "--files_per_output", 1
    done = run_command(f"{tmp_path}/in/*", tmp_path / "o.h5", config, *options, timeout=900)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    named = [place for place in places if any(f"flip{place}.h5: " in line for line in lines)]
    assert 20 < len(named) == len(lines)
    outputs = sorted(tmp_path.glob("o_*.h5"))
    assert len(outputs) == len(places) - len(named)
    for output in outputs:
        assert_same(whole, output)

"""Numbers of telescopes with images, counted another way, in datasets and simtel files."""

import pickle
from collections import Counter

import numpy as np
import pytest
from helpers.made_dataset import write_dataset
from helpers.processes import called, run_script
from helpers.reading import dl1_events

from image_extractor import ImageExtractor
from image_extractor.errors import InputError
from image_extractor.viewing.multiplicity import count_telescopes

REAL_MSTS, REAL_CHEC = "history_meta_75.simtel.zst", "gct_checs_muons.simtel.zst"


def counted(numbers, n_telescopes):
    counts = Counter(numbers)
    return [counts[n] for n in range(n_telescopes + 1)]


@pytest.mark.one_in(3)
@pytest.mark.parametrize("settings", [{}, {"storage_mode": "all", "mode": "energy_recon"}, {"seed": 1}], ids=str)
def test_a_dataset(tmp_path, settings):
    made = write_dataset(tmp_path / "made.h5", (30, 20), **settings)
    passing = {(4, event): (0, 1.0) for event in (100, 300, 2500, 9900)} | {(5, 200): (0, 1.0)}
    multiplicity = count_telescopes(tmp_path / "made.h5", passing)
    assert multiplicity.n_telescopes == {"all types": 3, "LST": 2, "SST": 1}
    members = {"all types": {1, 2, 7}, "LST": {1, 2}, "SST": {7}}
    for kind, events in (("all", made), ("passing", [event for event in made if (4, event.event) in passing])):
        assert multiplicity.n_events(kind) == len(events)
        for tel_type, tel_ids in members.items():
            numbers = [len(tel_ids & set(event.pixels)) for event in events]
            assert multiplicity.counts[kind][tel_type].tolist() == counted(numbers, len(tel_ids))
            assert multiplicity.mean(kind, tel_type) == pytest.approx(np.mean(numbers))


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("name", "n_events"), [("demo", 6), (REAL_MSTS, 1), (REAL_CHEC, 20)])
def test_a_simtel_file_and_its_dataset_agree(name, n_events, tmp_path, production, real):
    source = production[0] if name == "demo" else real(name)
    path = tmp_path / f"{name}.h5"
    settings = {"use_pkl_dict": False, "telescope_type_mode": "ALL", "storage_mode": "mapped"}
    ImageExtractor(path, None, "gh_class", **settings, energy_bins_min=-3.0).process_files([source])
    before, after = count_telescopes(source), count_telescopes(path)
    assert before.n_telescopes == after.n_telescopes
    for tel_type, counts in before.counts["all"].items():
        assert counts.tolist() == after.counts["all"][tel_type].tolist()
    assert before.n_events("all") == n_events


@pytest.mark.parametrize(("name", "run", "n_events"), [("demo", 2, 9), (REAL_CHEC, 28, 20)])
def test_passing_events_of_a_simtel_file(name, run, n_events, production, real):
    source = production[1] if name == "demo" else real(name)
    first, second = [event.index.event_id for _, event in dl1_events(source)][:2]
    passing = {(run, first): (0, 1.0), (run, second): (1, 1.0), (run + 1, first): (0, 1.0)}
    multiplicity = count_telescopes(source, passing)
    assert (multiplicity.n_events("all"), multiplicity.n_events("passing")) == (n_events, 2)


@pytest.mark.slow
def test_the_command(tmp_path):
    made = write_dataset(tmp_path / "made.h5", (30, 20))
    cuts = tmp_path / "cuts.pkl"
    cuts.write_bytes(pickle.dumps({(4, 100): (0, 1.0)}))
    picture = tmp_path / "picture.png"
    arguments = [tmp_path / "made.h5", "--bins_cuts_dict", cuts, "--output", picture]
    result = run_script("plot_numtel.py", *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["telescopes", "all", "types", "passing", "LST", "passing", "SST", "passing"]
    assert lines[-3] == ["events", *(["50", "2"] * 3)]
    mean = np.mean([len(event.pixels) for event in made])
    assert lines[-2][:2] == ["mean", f"{mean:.2f}"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    cuts.write_bytes(pickle.dumps({(99, 100): (0, 1.0)}))
    lines = [line.split() for line in run_script("plot_numtel.py", *arguments).stdout.splitlines()]
    assert lines[-2][:3] == ["mean", f"{mean:.2f}", "-"]  # none passes


@pytest.mark.slow
def test_names_of_pictures(tmp_path):
    write_dataset(tmp_path / "made.h5", (3, 2))
    result = called("plot_numtel", "made.h5", cwd=tmp_path)
    assert result.stdout.splitlines()[-1] == "made_numtel.png"
    assert (tmp_path / "made_numtel.png").exists()
    # a part of a name that looks like a suffix tells names apart
    for name in ("a_6.0.0.h5", "a_6.0.2.h5", "price_$5$.h5"):
        (tmp_path / name).write_bytes((tmp_path / "made.h5").read_bytes())
        result = called("plot_numtel", name, cwd=tmp_path)
        assert result.stdout.splitlines()[-1] == f"{name.removesuffix('.h5')}_numtel.png"
    result = called("plot_numtel", "a_6.0.?.h5", cwd=tmp_path)
    assert (result.stdout.splitlines()[-1], result.stderr) == ("a_6.0_numtel.png", "")
    assert [line.split()[1] for line in result.stdout.splitlines() if line.startswith("events")] == ["10"]


@pytest.mark.parametrize("names", ["demo", (REAL_CHEC, "lst_muons.simtel.zst")])
def test_files_of_other_telescopes_are_not_added_up(names, tmp_path, production, all_cameras, real):
    one, other = (production[0], all_cameras) if names == "demo" else map(real, names)
    result = called("plot_numtel", one, other, cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert f"{other.name}: has other telescopes than " in result.stderr


def test_bad_input_is_one_line(tmp_path):
    (tmp_path / "text.simtel").write_text("no simtel")
    write_dataset(tmp_path / "none.h5", (0, 0))
    (tmp_path / "cuts.pkl").write_bytes(pickle.dumps({"run": 1}))
    with pytest.raises(InputError):
        count_telescopes(tmp_path / "absent")
    cases = [(["absent.h5"], 2), (["text.simtel"], 1), (["none.h5"], 1), (["none.h5", "none.h5"], 1), (["."], 2)]
    cases.append((["none.h5", "--output", "no/such/folder.png"], 2))
    cases.append((["none.h5", "--bins_cuts_dict", "cuts.pkl"], 2))
    for arguments, code in cases:
        result = called("plot_numtel", *arguments, cwd=tmp_path)
        assert (result.returncode, result.stdout) == (code, "")
        assert result.stderr.count("\n") == 1, result.stderr
    assert not list(tmp_path.glob("*.png"))

"""mscw files: what they may look like, and what they may suffer from."""

import numpy as np
import pytest
from helpers.made_mscw import DOUBLES, GOOD, uproot, with_settings, write_mscw

from image_extractor import config
from image_extractor.cuts import eventdisplay
from image_extractor.cuts.entries import as_dict
from image_extractor.errors import InputError
from image_extractor.input_files import find_files

# -- what files may look like ---------------------------------------------------------------------


def test_default_bins(tmp_path):
    energies = [0.0999, 0.1, 0.3, 0.4, 0.9999, 1.0, 9.99, 10.0, 0.0, -99.0]
    events = [GOOD | {"eventNumber": i, "ErecS": energy} for i, energy in enumerate(energies)]
    entries, flows = eventdisplay.build([write_mscw(tmp_path / "a.root", [events])], config.defaults())
    assert as_dict(entries) == {
        (1, 1): (0, 0.1), (1, 2): (0, 0.3), (1, 3): (1, 0.4), (1, 4): (1, 0.9999), (1, 5): (2, 1.0), (1, 6): (3, 9.99)
    }  # fmt: skip
    (flow,) = flows.values()
    assert flow.outside == 3
    assert flow.after["ErecS"] == 9
    assert flow.no_energy == 1


def test_bins_of_the_cuts_also_in_energy_recon(tmp_path):
    """The label of energy_recon is another matter: the dictionary's bins are [energy_bins]."""
    chosen = config.loads("mode = energy_recon")
    entries, _ = eventdisplay.build([write_mscw(tmp_path / "a.root", [[GOOD]])], chosen)
    assert as_dict(entries) == {(1, 100): (1, 0.5)}


def test_branch_booked_twice_and_arrays(tmp_path):
    """EventDisplay books some names of per-image branches twice, and many branches are not one number."""
    path = tmp_path / "a.root"
    more = {"dcen_A": "float32", "dcen_B": ("float64", (4,)), "width": "float32"}
    write_mscw(path, [[GOOD], [GOOD | {"eventNumber": 200}]], more=more)
    path.write_bytes(path.read_bytes().replace(b"dcen_A", b"dcen_x").replace(b"dcen_B", b"dcen_x"))
    with uproot.open(path) as file:
        assert [branch.name for branch in file["data"].branches].count("dcen_x") == 2
    entries, _ = eventdisplay.build([path], config.defaults())
    assert as_dict(entries) == {(1, 100): (1, 0.5), (1, 200): (1, 0.5)}


@pytest.mark.parametrize("name", ["a:b.root", "a::b#c.root", "a[1].root", "a b*.root", "é.root"])
def test_names_of_files(tmp_path, name):
    write_mscw(tmp_path / "plain.root", [[GOOD]])
    path = (tmp_path / "plain.root").rename(tmp_path / name)
    files = find_files(str(path))
    assert files == [path]
    assert len(eventdisplay.build(files, config.defaults())[0]) == 1


def test_files_in_natural_order(tmp_path):
    for name in ("run10.root", "run2.root", "run1.root", "notes.txt"):
        (tmp_path / name).touch()
    files = find_files(str(tmp_path / "*.root"))
    assert [path.name for path in files] == ["run1.root", "run2.root", "run10.root"]


def test_blocks_are_bounded(tmp_path):
    events = [[GOOD | {"eventNumber": 10 * basket + i} for i in range(10)] for basket in range(5)]
    path = write_mscw(tmp_path / "a.root", events)
    blocks = list(eventdisplay.read_blocks(path, ["eventNumber", "ErecS"], block_rows=7))
    assert [len(block["ErecS"]) for block in blocks] == [7] * 7 + [1]
    assert {tuple(block) for block in blocks} == {("eventNumber", "ErecS")}
    assert np.concatenate([block["eventNumber"] for block in blocks]).tolist() == list(range(50))


def test_open_cut_needs_no_branch(tmp_path):
    """As real data need it, which have no MC branches."""
    path = write_mscw(tmp_path / "a.root", [[GOOD]], without=("MCxoff", "MCyoff", "dES"))
    chosen = with_settings(MC_Offset=["MCxoff", "MCyoff", None, None], dES=[None, None])
    assert as_dict(eventdisplay.build([path], chosen)[0]) == {(1, 100): (1, 0.5)}


def test_other_offset_branches(tmp_path):
    path = write_mscw(tmp_path / "a.root", [[GOOD]], without=("MCxoff", "MCyoff"), more={"Xoff": "f8", "Yoff": "f8"})
    assert len(eventdisplay.build([path], with_settings(MC_Offset=["Xoff", "Yoff", 0, 1]))[0]) == 1
    assert len(eventdisplay.build([path], with_settings(MC_Offset=["Xoff", "Yoff", 0.5, 1]))[0]) == 0


def test_file_of_no_events_among_others(tmp_path):
    files = [write_mscw(tmp_path / "a.root", []), write_mscw(tmp_path / "b.root", [[GOOD]])]
    entries, flows = eventdisplay.build(files, config.defaults())
    assert len(entries) == 1
    assert [flow.read for flow in flows.values()] == [0, 1]


def test_conflict_names_both_files(tmp_path):
    gammas = write_mscw(tmp_path / "gamma.root", [[GOOD]])
    middle = write_mscw(tmp_path / "middle.root", [[GOOD | {"runNumber": 2}]])
    protons = write_mscw(tmp_path / "proton.root", [[GOOD | {"ErecS": 2.0}]])
    with pytest.raises(InputError) as error:
        eventdisplay.build([gammas, middle, protons], config.defaults())
    assert str(error.value) == (
        "run 1, event 100 comes twice with different values: "
        f"bin 1, 0.5 TeV in {gammas} and bin 2, 2.0 TeV in {protons}; "
        "runs of different particles share numbers: build one dictionary per particle type"
    )


# -- what a file may suffer from ------------------------------------------------------------------


def truncated(path):
    rng = np.random.default_rng(0)
    write_mscw(path, [[GOOD | {"eventNumber": i, "MSCL": rng.random()} for i in range(500)] for _ in range(3)])
    path.write_bytes(path.read_bytes()[:-1])


def damaged(path):
    rng = np.random.default_rng(0)
    write_mscw(path, [[GOOD | {"eventNumber": i, "MSCL": rng.random()} for i in range(5000)]])
    with uproot.open({str(path): None}) as file:
        basket = file["data"]["MSCL"].basket(0)
        start = file["data"]["MSCL"].member("fBasketSeek")[0] + basket.member("fKeylen")
    content = bytearray(path.read_bytes())
    content[start + 9 : start + 2000] = bytes(1991)
    path.write_bytes(content)


def other_tree(path):
    with uproot.recreate(path) as file:
        file["showerpars"] = {"runNumber": np.arange(3)}


def not_a_tree(path):
    with uproot.recreate(path) as file:
        file["data"] = "words"


SUFFERING = {
    "nothing in it": (lambda path: path.write_bytes(b""), "can't be read as a ROOT file"),
    "text": (lambda path: path.write_text("not ROOT\n" * 100), "can't be read as a ROOT file"),
    "head of a file": (lambda path: path.write_bytes(b"root" + bytes(100)), "no tree 'data'"),
    "truncated": (truncated, r"truncated: \d+ bytes of \d+; copy or make it again"),
    "damaged": (damaged, "can't be read as a ROOT file"),
    "other tree": (other_tree, "no tree 'data', it has showerpars; is this a mscw file"),
    "no tree": (not_a_tree, "no tree 'data'"),
    "no object": (lambda path: uproot.recreate(path).close(), "no tree 'data', it is empty"),
    "no events": (lambda path: write_mscw(path, []), "no events in the tree 'data'"),
    "real data": (lambda path: write_mscw(path, [[GOOD]], without=DOUBLES), "no branch MCxoff; real data have no MC"),
    "no NImages": (lambda path: write_mscw(path, [[GOOD]], without=["NImages"]), "no branch NImages; .*None, None"),
    "no ErecS": (lambda path: write_mscw(path, [[GOOD]], without=["ErecS"]), "no branch ErecS; every dictionary"),
    "array": (
        lambda path: write_mscw(path, [[GOOD]], without=["MSCW"], more={"MSCW": ("f8", (4,))}),
        "branch MSCW is .*, must be one number per event",
    ),
    "broken numbers": (
        lambda path: write_mscw(path, [[GOOD]], without=["runNumber"], more={"runNumber": "f8"}),
        "branch runNumber is double, must be a whole number per event",
    ),
}


@pytest.mark.parametrize("what", SUFFERING)
def test_bad_file_is_one_line(tmp_path, what):
    make, message = SUFFERING[what]
    make(tmp_path / "bad.root")
    with pytest.raises(InputError, match=message) as error:
        eventdisplay.build([tmp_path / "bad.root"], config.defaults())
    assert str(error.value).startswith(f"{tmp_path / 'bad.root'}: ")
    assert "\n" not in str(error.value)


def test_bad_file_among_good_ones_is_found_before_reading(tmp_path):
    good = write_mscw(tmp_path / "a.root", [[GOOD]])
    (tmp_path / "b.root").write_text("no")
    blocks = []
    with pytest.raises(InputError, match=r"b\.root"):
        eventdisplay.build([good, tmp_path / "b.root"], config.defaults(), progress=lambda *done: blocks.append(done))
    assert not blocks

"""The page of a dataset, by the command: what it says is what PyTables reads, and a browser shows it."""

import html
import lzma
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
import tables
from helpers.made_dataset import write_dataset
from helpers.processes import TESTS, called

from image_extractor import ImageExtractor
from image_extractor.dataset import ImageDataset
from image_extractor.demo import write_demo_file

ONE_BIN = {"energy_bins_min": -3, "energy_bins_max": 4, "energy_bins_bin_size": 7}
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page(HTMLParser):
    """What a page holds: texts by tag, tables as rows of cells, and what it would load."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.findings, self.loaded, self.labels, self.ids = [], [], [], [], []
        self._open = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self._open.append((tag, values.get("class")))
        self.loaded += [values[name] for name in ("src", "href", "xlink:href") if name in values]
        self.labels += [values["aria-label"]] if values.get("role") == "img" else []
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        tags = [tag for tag, _ in self._open]
        if "td" in tags or "th" in tags:
            self.tables[-1][-1][-1] += data
        if "li" in tags and ("section", "findings") in self._open:
            self.findings.append(data)

    def table(self, first):
        """Return the table whose header begins with a word, as {first cell: others}."""
        rows = next(rows for rows in self.tables if rows[0][0] == first)
        return {row[0]: row[1:] for row in rows}


def page_of(path):
    """Return the text of the page that the command writes of a dataset."""
    target = path.with_suffix(".html")
    ended = called("read_data", path, "--html", target)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{target}: written\n", "")
    return target.read_text()


def events_of(path):
    with tables.open_file(str(path)) as file:
        return np.concatenate(
            [
                np.rec.fromarrays(
                    [node.col(name) for name in ("gamma_hadron_label", "mc_energy", "core_x", "core_y")],
                    names="primary,energy,x,y",
                )
                for node in file.walk_nodes("/", "Table")
                if node._v_name.startswith("Events")
            ]
        )


@pytest.mark.parametrize("storage_mode", ["all", "mapped"])
def test_histograms_are_those_of_the_rows(tmp_path, storage_mode):
    path = tmp_path / "made.h5"
    made = write_dataset(
        path, (40, 25), storage_mode=storage_mode, split={"Training": 0.8, "Validation": 0.2}, **ONE_BIN
    )
    page, rows = Page(page_of(path)), events_of(path)
    for quantity, values in (
        ("log10(true energy / TeV)", np.log10(rows["energy"].astype(float))),
        ("core to the array's centre [m]", np.hypot(rows["x"], rows["y"])),
    ):
        table = page.table(quantity)
        names = table.pop(quantity)
        assert names == ["gamma", "proton"]
        for span, counts in table.items():
            low, high = map(float, span.split(" to "))
            for primary, count in zip((0, 101), counts, strict=True):
                mine = values[rows["primary"] == primary]
                # edges are rounded to four digits where they are written
                assert int(count) == ((mine >= low - 1e-9) & (mine < high - 1e-9)).sum() or high == max(mine)
        totals = np.array([list(map(int, counts)) for counts in table.values()]).sum(axis=0)
        assert totals.tolist() == [40, 25]
    multiplicity = page.table("telescopes with an image")
    multiplicity.pop("telescopes with an image")
    n_images = sum(len(event.pixels) for event in made)
    found = sum(
        sum(map(int, counts)) * (sum(map(float, span.split(" to "))) / 2) for span, counts in multiplicity.items()
    )
    assert found == n_images
    layout = page.table("tel_id")
    layout.pop("tel_id")
    assert {int(tel_id): int(cells[-1]) for tel_id, cells in layout.items()} == {
        tel_id: sum(tel_id in event.pixels for event in made) for tel_id in (1, 2, 7)
    }


def test_a_page_needs_nothing_but_itself(tmp_path):
    write_dataset(tmp_path / "made.h5", **ONE_BIN)
    page = Page(page_of(tmp_path / "made.h5"))
    assert all(place.startswith(("#", "data:")) for place in page.loaded)
    assert len(page.labels) >= 9
    assert all(len(label) > 20 for label in page.labels)


def test_the_same_dataset_gives_the_same_page(tmp_path):
    write_dataset(tmp_path / "made.h5", **ONE_BIN)
    assert page_of(tmp_path / "made.h5") == page_of(tmp_path / "made.h5")


def findings_of(path):
    return "\n".join(Page(page_of(path)).findings)


def test_a_sound_dataset_has_no_finding(tmp_path):
    write_dataset(tmp_path / "made.h5", (30, 30), **ONE_BIN)
    assert findings_of(tmp_path / "made.h5").splitlines() == [
        f"Run 4 of run4_{n}.simtel.gz is cut short." for n in (0, 101)
    ]
    with tables.open_file(str(tmp_path / "made.h5"), "r+") as file:
        file.root.Run_Table.modify_column(column=np.ones(2, "u1"), colname="complete")
    assert findings_of(tmp_path / "made.h5") == ""


def test_what_is_missing_or_uneven_is_said(tmp_path):
    path = tmp_path / "made.h5"
    write_dataset(path, (40, 2), split={"Training": 0.95, "Validation": 0.05}, **ONE_BIN)
    with tables.open_file(str(path), "r+") as file:
        for node in file.walk_nodes("/", "Table"):
            if node._v_name.startswith("Events"):
                node.modify_column(column=np.where(node.col("tel_map") < 0, -1, node.col("tel_map")) * [1, 1, 0] - [0, 0, 1],
                                   colname="tel_map")  # fmt: skip
            if node._v_name == "Events_Validation":
                node.modify_column(column=np.zeros(node.nrows, "i4"), colname="gamma_hadron_label")
    found = findings_of(path)
    assert "Telescope 7 without an image" in found
    assert re.search(r"Events_Validation has no proton, of which there are [12] in all", found)
    assert "Primaries are uneven" in found


def test_pixels_that_clip_or_are_negative_or_no_numbers_are_said(tmp_path):
    path = tmp_path / "made.h5"
    write_dataset(path, image_dtype="uint16", image_charge_scale=3000, **ONE_BIN)
    with tables.open_file(str(path), "r+") as file:
        runs = file.root.Run_Table
        clipped = int(runs.col("clipped_pixels").sum())
        runs.modify_column(column=np.array([7, 5]), colname="negative_pixels")
        runs.modify_column(column=np.array([0, 1]), colname="not_finite_pixels")
        # each pixel is 2 x 2 cells of an array
        of_telescope = {
            node._v_name[1:]: int((node[:] == 65535).any(axis=-1).sum()) // 4
            for node in file.walk_nodes("/", "EArray")
            if node._v_name[0] == "T"
        }
    assert clipped == sum(of_telescope.values()) > 0
    seen = Page(page_of(path)).table("telescope")
    seen.pop("telescope")
    assert {tel_id: int(cells[3]) for tel_id, cells in seen.items()} == of_telescope
    found = findings_of(path)
    assert f"{clipped} pixels did not fit the dtype and were clipped: a smaller charge_scale than 3000" in found
    assert "12 pixels of negative charge" in found
    assert "1 pixel is no finite number" in found


@pytest.mark.slow
def test_weights_that_a_few_events_dominate_are_said(tmp_path):
    """As many events of one weight as ImageDataset's event_weight says."""
    write_demo_file(tmp_path / "a.simtel", events=40, telescopes="LST:2", energy=(0.1, 100))
    path = tmp_path / "a.h5"
    ImageExtractor(path, None, "gh_class", telescope_type_mode="LST", use_pkl_dict=False, **ONE_BIN).process_data(
        tmp_path / "a.simtel"
    )
    assert "a few dominate" not in findings_of(path)
    with tables.open_file(str(path), "r+") as file:
        file.root.Run_Table.modify_column(column=np.array([2.0], "f4"), colname="spectral_index")
        file.root.E0.Events.modify_column(column=np.repeat([0.1, 50.0], [1, 39]).astype("f4"), colname="mc_energy")
    with ImageDataset(path, table="Events", view="event", columns=("event_weight",)) as data:
        weights = data.labels()["event_weight"].astype(float)
    n = f"{weights.sum() ** 2 / (weights**2).sum():.0f}"
    assert int(n) < 3
    assert findings_of(path) == (
        f"Events: weighted to a spectrum (event_weight), 40 events of gamma count as {n}: a few dominate."
    )


def test_observed_events_have_no_truth_to_be_shown(tmp_path, warnings_are_errors):
    write_dataset(tmp_path / "o.h5", observed=True, **ONE_BIN)
    text = page_of(tmp_path / "o.h5")
    assert "True energy" not in text
    assert "observed" in text
    assert "2016-12-31T23:59:60" in text


@pytest.mark.parametrize("storage_mode", ["all", "mapped"])
def test_datasets_of_older_formats_have_a_page(tmp_path, storage_mode):
    path = tmp_path / "old.h5"
    path.write_bytes(lzma.decompress((TESTS / f"resources/format_1_0_{storage_mode}.h5.xz").read_bytes()))
    page = Page(page_of(path))
    table = page.table("log10(true energy / TeV)")
    table.pop("log10(true energy / TeV)")
    assert sum(int(count) for counts in table.values() for count in counts) == len(events_of(path))


def test_a_dataset_without_events_says_so(tmp_path, warnings_are_errors):
    write_dataset(tmp_path / "none.h5", (0, 0), **ONE_BIN)
    assert "There is no event" in findings_of(tmp_path / "none.h5")


@pytest.mark.parametrize("name", ["page.txt", "page"])
def test_a_page_has_the_name_of_one(tmp_path, name):
    write_dataset(tmp_path / "made.h5", **ONE_BIN)
    ended = called("read_data", tmp_path / "made.h5", "--html", tmp_path / name)
    assert (ended.returncode, ended.stderr) == (2, f"{tmp_path / name}: a page's name ends in .html\n")


def test_no_other_page_is_overwritten(tmp_path):
    write_dataset(tmp_path / "made.h5", **ONE_BIN)
    (tmp_path / "mine.html").write_text("<p>my own</p>")
    ended = called("read_data", tmp_path / "made.h5", "--html", tmp_path / "mine.html")
    assert ended.returncode == 2
    assert ended.stderr == f"{tmp_path / 'mine.html'}: is there, and no page of a dataset: name another\n"
    assert (tmp_path / "mine.html").read_text() == "<p>my own</p>"


@pytest.mark.parametrize("place", ["nowhere/page.html", "folder.html"])
def test_a_place_that_can_not_be_written_to_is_named(tmp_path, place):
    write_dataset(tmp_path / "made.h5", **ONE_BIN)
    (tmp_path / "folder.html").mkdir()
    ended = called("read_data", tmp_path / "made.h5", "--html", tmp_path / place)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"{tmp_path / place}: can't be written: ")
    assert len(ended.stderr.splitlines()) == 1


def test_one_page_is_of_one_dataset(tmp_path):
    ended = called("read_data", "a.h5", "b.h5", "--html", tmp_path / "p.html")
    assert ended.returncode == 2
    assert "one page is of one dataset" in ended.stderr


def test_a_damaged_dataset_is_named(tmp_path):
    (tmp_path / "no.h5").write_bytes(b"no")
    ended = called("read_data", tmp_path / "no.h5", "--html", tmp_path / "p.html")
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "p.html").exists()


#: Runs in a page of its own: shows another at some width, and puts into the title what became of it.
JUDGE = """<!DOCTYPE html><title>not judged</title><iframe id="f" style="border:0" width="{width}" height="3000"
srcdoc="{page}"></iframe><script>
window.onload = () => {{
  const found = document.getElementById("f").contentDocument;
  const pictures = [...found.querySelectorAll("svg")];
  const drawn = pictures.filter(one => one.getBoundingClientRect().width > 50 && one.getBBox().height > 50);
  const images = [...found.querySelectorAll("image")].filter(one => one.getBoundingClientRect().width > 0);
  const small = [...found.querySelectorAll("p, li, td, dd, summary")]
    .filter(one => parseFloat(getComputedStyle(one).fontSize) < 11);
  document.title = [pictures.length, drawn.length, images.length, small.length,
    found.documentElement.scrollWidth <= {width}].join(" ");
}};</script>"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [400, 1600])
def test_a_browser_shows_it(tmp_path, width):
    """No error in its console, every picture drawn, letters large enough, nothing wider than the window."""
    write_dataset(
        tmp_path / "made.h5", split={"Training": 0.8, "Validation": 0.2}, image_mode="PIXELS_TIMING_2C", **ONE_BIN
    )
    text = page_of(tmp_path / "made.h5")
    judge = tmp_path / "judge.html"
    judge.write_text(JUDGE.format(width=width, page=html.escape(text)))
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'browser'}", "--window-size=1800,1000", judge.as_uri()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in ended.stderr
    pictures, drawn, images, small, fits = re.search("<title>(.*?)</title>", ended.stdout).group(1).split()
    assert int(pictures) == len(re.findall("<svg", text)) == int(drawn) > 8
    assert int(images) >= 2 * 2 * 2
    assert small == "0"
    assert fits == "true"

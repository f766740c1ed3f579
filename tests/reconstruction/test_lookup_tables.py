"""Lookup tables: sums in any order, medians and lookups against straight loops, and what they may be used with."""

import itertools
import math

import numpy as np
import pytest
from helpers.made_tables import NAMES, made_images, made_recipe, made_tables

from image_extractor.errors import DatasetError, InputError
from image_extractor.hdf5.dataset_files import open_file
from image_extractor.reconstruction import histograms, table_files
from image_extractor.reconstruction.cell_values import CellValues, cell_values
from image_extractor.reconstruction.histograms import DISTANCE, QUANTITIES, SIZE
from image_extractor.reconstruction.lookup_tables import ALL, LookupTables


def filled(rng, n, order=None, pieces=1):
    """Return the tables of images in some order, put in piece by piece."""
    columns = made_images(rng, n)
    tables = LookupTables(made_recipe())
    for piece in np.array_split(np.arange(n) if order is None else order, pieces):
        values = {name: column[piece] for name, column in columns[2].items()}
        tables.fill("A", columns[0][piece], columns[1][piece], values, columns[3][piece], columns[4][piece])
    return columns, tables.histograms["A"]


def test_any_order_gives_the_same():
    _, expected = filled(np.random.default_rng(1), 500)
    assert expected["width"]["entries"].sum() > 400
    for pieces in (3, 500):
        order = np.random.default_rng(pieces).permutation(500)
        _, found = filled(np.random.default_rng(1), 500, order, pieces)
        for quantity, rows in expected.items():
            assert (found[quantity] == rows).all()


def test_jobs_in_any_order_give_the_same(tmp_path):
    contents = []
    for order in itertools.permutations(range(3)):
        first, *others = (made_tables(seed, run=seed) for seed in order)
        for other in others:
            first.add(other, "other")
        table_files.save(tmp_path / "tables.h5", first)
        read = table_files.load(tmp_path / "tables.h5")
        contents.append(
            (
                {(name, q): rows.tobytes() for name, of in read.histograms.items() for q, rows in of.items()},
                read.inputs.tobytes(),
                read.recipe,
            )
        )
    assert all(content == contents[0] for content in contents)


def loop_quantile(values, weights, part, axis):
    """Quantile of values in bins, linear within."""
    width = (axis.high - axis.low) / axis.n_bins
    content = {}
    for value, weight in zip(values, weights, strict=True):
        number = math.floor((value - axis.low) / width)
        content[number] = content.get(number, 0) + int(weight)
    target, below = part * sum(content.values()), 0
    for number in sorted(content):
        if below + content[number] >= target:
            return axis.low + width * (number + (target - below) / content[number])
        below += content[number]
    raise AssertionError


@pytest.mark.parametrize(("min_entries", "widen"), [(10, 4), (3, 2), (0, 0)])
def test_cells_agree_with_loops(min_entries, widen):
    (size, distance, values, _, weight), rows = filled(np.random.default_rng(2), 300)
    cell = histograms.cells(size, distance)
    for quantity, axis in QUANTITIES.items():
        inside = (values[quantity] >= axis.low) & (values[quantity] < axis.high) & (cell >= 0)
        by_cell = {}
        for image in np.flatnonzero(inside):
            by_cell.setdefault(divmod(int(cell[image]), DISTANCE.n_bins), []).append(image)
        found = cell_values(quantity, rows[quantity], min_entries, widen)
        n_widened = 0
        for x, y in itertools.product(range(SIZE.n_bins), range(DISTANCE.n_bins)):
            own = by_cell.get((x, y), [])
            around = [
                [
                    image
                    for i in range(x - far, x + far + 1)
                    for j in range(y - far, y + far + 1)
                    for image in by_cell.get((i, j), [])
                ]
                for far in range(max(widen, 1) + 1)
            ]
            choices = around[: widen + 1] if around[1] else around[:1]
            images = next((images for images in choices if len(images) > min_entries), [])
            n_widened += images != own and bool(images)
            low, median, high = (
                [loop_quantile(values[quantity][images], weight[images], part, axis) for part in (0.16, 0.5, 0.84)]
                if images
                else (0, 0, 0)
            )
            if quantity == "energy" and images:
                low, median, high = 10**low, 10**median, 10**high
            assert found.median[x, y] == pytest.approx(median, rel=1e-9)
            assert found.sigma[x, y] == pytest.approx(high - low, rel=1e-9, abs=1e-15)
            assert found.entries[x, y] == len(own)
            assert found.is_widened[x, y] == (images != own and bool(images))
        assert bool(n_widened) == bool(widen)


def test_many_entries_agree_with_numpy():
    rng = np.random.default_rng(3)
    values = rng.gamma(9, 0.01, 20_000)
    n = len(values)
    rows = histograms.histogram("width", values, np.full(n, 500), np.zeros(n, int), np.full(n, 2**20))
    found = cell_values("width", rows, 10, 0)
    low, median, high = np.quantile(values, [0.16, 0.5, 0.84])
    assert found.median.flat[500] == pytest.approx(median, abs=5e-4)
    assert found.sigma.flat[500] == pytest.approx(high - low, abs=5e-4)
    assert np.count_nonzero(found.median) == 1


def loop_interpolate(one, other, part):
    """EventDisplay's VStatistics::interpolate, with 0 for an empty cell."""
    if one < 1e-5 and other < 1e-5:
        return -99
    if one > 1e-5 > other:
        return one if 1 - part > 0.5 else -99
    if one < 1e-5 < other:
        return other if part > 0.5 else -99
    return one * (1 - part) + other * part


def loop_look_up(values, size, distance):
    """EventDisplay's VTableCalculator::interpolate; cells count from 1, as in ROOT."""
    x = math.log10(size)
    padded = np.pad(values, 1)
    i, j = math.floor((x - 1) / 0.15) + 1, math.floor(distance / 20) + 1
    if not (1 <= i <= 45 and 1 <= j <= 75):
        return 0
    if i == 45 or j == 75:
        return padded[i, j]
    centre_x, centre_y = 1 + 0.15 * (i - 0.5), 20 * (j - 0.5)
    if x < centre_x:
        i, centre_x = i - 1, centre_x - 0.15
    if distance < centre_y:
        j, centre_y = j - 1, centre_y - 20
    part = (distance - centre_y) / 20
    lower = loop_interpolate(padded[i, j], padded[i, j + 1], part)
    upper = loop_interpolate(padded[i + 1, j], padded[i + 1, j + 1], part)
    if lower > 1e-3 > upper:
        return lower
    if upper > 1e-3 > lower:
        return upper
    return loop_interpolate(lower, upper, (x - centre_x) / 0.15)


def test_lookup_agrees_with_a_loop():
    rng = np.random.default_rng(4)
    shape = SIZE.n_bins, DISTANCE.n_bins
    median, sigma = (np.where(rng.random(shape) < 0.7, rng.uniform(0.05, 1, shape), 0) for _ in range(2))
    cells = CellValues(median, sigma, np.zeros(shape, int), rng.random(shape) < 0.5)
    size = 10 ** np.concatenate([rng.uniform(0.9, 7.9, 3000), rng.uniform(1, 1.2, 300), rng.uniform(7.6, 7.75, 300)])
    distance = np.concatenate([rng.uniform(-50, 1600, 3000), rng.uniform(0, 30, 300), rng.uniform(1460, 1500, 300)])
    found = cells.look_up(size, distance)
    for values, table in zip(found, (median, sigma), strict=False):
        expected = [loop_look_up(table, *pair) for pair in zip(size, distance, strict=True)]
        assert {-99, 0} < set(expected)
        np.testing.assert_allclose(values, expected, rtol=1e-9)
    nowhere = cells.look_up(np.array([np.nan, 100, 0]), np.array([10, np.nan, 10]))
    assert [column.tolist() for column in nowhere] == [[0, 0, 0], [0, 0, 0], [False] * 3]


def test_energy_is_by_size():
    tables = made_tables(n=5000)
    reader = tables.reader(10, 4)
    size, distance = np.array([100.0, 100.0, 1e6]), np.array([100.0, 100.0, 100.0])
    names = [NAMES[0], NAMES[1], "no table"]
    expected, is_missing, _ = reader.look_up(np.array([0, 2, 0]), names, size, distance, np.full(3, ALL))
    assert is_missing.tolist() == [False, True, True]
    energy, sigma = (values[0] for values in expected["energy"])
    assert energy == pytest.approx(100 * 1e-3, rel=0.1)
    assert sigma == pytest.approx(energy * (10**0.2 - 10**-0.2), rel=0.1)
    assert (expected["energy"][0][1:] <= 0).all()


def test_gammas_of_the_tables_are_looked_up_in_the_other_half():
    tables = made_tables(run=7)
    reader = tables.reader(10, 4)
    parts = reader.parts([0, 0, 0, 101, 0], [7, 7, 7, 7, 8], [100, 199, 200, 100, 100])
    assert parts.tolist() == [0, 0, 1, ALL, ALL]
    of_half = reader.cells(NAMES[0], "width", 0)
    rows = tables.histograms[NAMES[0]]["width"]
    assert of_half.entries.sum() == rows["entries"][rows["half"] == 0].sum()
    assert reader.cells(NAMES[0], "width").entries.sum() == rows["entries"].sum()


# -- files ----------------------------------------------------------------------------------------


def test_what_is_written_is_read(tmp_path):
    tables = made_tables()
    path = tmp_path / "tables.h5"
    table_files.save(path, tables, {"command_line": "make_lookup_tables.py a b c"})
    read = table_files.load(path)
    assert read.recipe == tables.recipe
    assert not list(read.recipe.differences(tables.recipe))
    assert read.n_images == tables.n_images
    assert (read.inputs == tables.inputs).all()
    for name in NAMES:
        for quantity in QUANTITIES:
            assert (read.histograms[name][quantity] == tables.histograms[name][quantity]).all()


def _other_format(file):
    file.root._v_attrs.format = "something"


def _newer(file):
    file.root._v_attrs.format_version = "2.0"


def _other_cells(file):
    file.root._v_attrs.size_bins = 46


def _no_inputs(file):
    file.remove_node("/Inputs")


def _cell_of_nowhere(file):
    rows = file.root.T0.width.read(0, 1)
    rows["cell"] = 10**6
    file.root.T0.width.append(rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_other_format, "no lookup tables"),
        (_newer, "format 2.0 is newer"),
        (_other_cells, "its cells are others"),
        (_no_inputs, "damaged"),
        (_cell_of_nowhere, "rows of no cell or bin"),
    ],
)
def test_other_files_are_refused(tmp_path, change, message):
    path = tmp_path / "tables.h5"
    table_files.save(path, made_tables())
    with open_file(path, "a") as file:
        change(file)
    with pytest.raises(DatasetError, match=rf"^\S*tables.h5: .*{message}"):
        table_files.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_size": 60.0}, "min_size is 60, not 50"),
        ({"max_loss": "0.1, 0.3"}, "max_loss is 0.1, 0.3, not 0.1, 0.2"),
        ({"pointing_alt": 71.5}, "pointing azimuth 180.00, altitude 71.50, not .* altitude 70.00: 1.5 degrees apart"),
        ({"focal_length_choice": "EQUIVALENT"}, "kind of focal length is EQUIVALENT, not EFFECTIVE"),
        ({"picture": 8.5}, r"LST_LST_LSTCam: picture is 8.5, not 4; MST_MST_NectarCam: picture is 8.5, not 4"),
        ({"focal_length": 28.0}, r"LST_LST_LSTCam: focal length \[m\] is 28, not 29.3"),
        ({"mirror_area": 106.5}, r"mirror area \[m2\] is 106.5, not 106.241"),
        ({"extractor": "LocalPeakWindowSum"}, "extractor is LocalPeakWindowSum, not NeighborPeakWindowSum"),
    ],
)
def test_tables_made_otherwise_do_not_add_up(changes, message):
    with pytest.raises(InputError, match=f"^run2: can't be in the same tables as the first: .*{message}"):
        made_tables().add(made_tables(run=2, **changes), "run2")


def test_what_is_nearly_the_same_adds_up():
    tables = made_tables()
    tables.add(made_tables(run=2, pointing_alt=70.9, focal_length=29.300001, mirror_area=106.24), "run2")
    tables.add(made_tables(run=3, picture="unknown"), "run3")
    assert tables.recipe.unknown(made_recipe(picture="unknown", pointing_az=180.5)) == ["picture"]
    with pytest.raises(InputError, match=r"^run2: its run 2 is in the tables already"):
        tables.add(made_tables(run=2), "run2")


def test_weights():
    assert histograms.weights_in_units([1.0, 0.5, 1e-9], "a").tolist() == [2**20, 2**19, 1]
    for wrong in (np.inf, np.nan, 1e7):
        with pytest.raises(InputError, match="a: an image would count"):
            histograms.weights_in_units([1.0, wrong], "a")

"""Parts into a dataset: what is asked of each, and parts or datasets that are damaged."""

import json
import random
import shutil

import pytest
import tables
from helpers.reading import content, read_dataset
from helpers.resealed import changed

from image_extractor import DatasetError, ImageExtractor
from image_extractor.batch import merge, tasks
from image_extractor.conversion import part_writer
from image_extractor.hdf5 import schema

SPLIT = {"Training": 0.6, "Validation": 0.4}


def made_part(data_file, folder):
    """Return the part of an input, of four energy bins."""
    extractor = ImageExtractor(
        folder / "o.h5", None, "gh_class", storage_mode="mapped", use_pkl_dict=False, telescope_type_mode="ALL",
        image_scale_factor=1, energy_bins_min=-2, energy_bins_max=2, energy_bins_bin_size=1,
    )  # fmt: skip
    path = folder / f"{data_file.name}.h5"
    tasks.convert(extractor.converter, tasks.ConversionTask(str(data_file), data_file, path, tasks.Options()))
    return path


@pytest.fixture(scope="module")
def made_parts(production, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    return [made_part(path, folder) for path in production]


@pytest.fixture
def parts(made_parts, tmp_path):
    folder = tmp_path / "o.h5.parts"
    folder.mkdir()
    return [shutil.copy(path, folder / path.name) for path in made_parts]


def merged(parts, **options):
    target = parts[0].parent.parent / "o.h5"
    merge.build(parts, target, target.with_name("o.h5.parts"), **options)
    return target


def events_of(path):
    return sorted(
        (event["run_number"], event["gamma_hadron_label"], event["event_number"]) for event in read_dataset(path)
    )


@pytest.mark.slow
def test_parts_without_counts_give_the_same(parts):
    """Those of a run before counts were there, or with more than an attribute can hold, are counted by opening."""
    options = {"seed": 1, "split": SPLIT}
    expected = content(merged(parts, **options))
    for path in parts[1:3]:
        with changed(path) as file:
            del file.root._v_attrs[schema.COUNTS]
    assert content(merged(parts, **options)) == expected
    assert not {"counts", "report", "fingerprint"} & expected["/"][2].keys()


def test_counts_that_no_attribute_can_hold_are_left_out(production, tmp_path, monkeypatch):
    monkeypatch.setattr(part_writer, "LARGEST_ATTRIBUTE", 10)
    with tables.open_file(made_part(production[2], tmp_path)) as file:
        assert schema.COUNTS not in file.root._v_attrs


def test_counts_are_those_of_the_nodes(parts):
    for path in parts:
        with tables.open_file(path) as file:
            counts = json.loads(file.root._v_attrs[schema.COUNTS])
            found = {node._v_pathname: node.nrows for node in file.walk_nodes("/", "Leaf") if node._v_depth == 2}
            found = {name: n for name, n in found.items() if n and not name.startswith(("/Cameras", "/Checksums"))}
        assert {f"{group}/{name}": n for group, rows in counts.items() for name, n in rows.items()} == found


def test_nodes_without_rows_are_not_opened(parts, monkeypatch):
    """PyTables takes a millisecond for each, and a part of few events has very many."""
    loaded, root = [], tables.group.RootGroup
    load = root._g_load_child

    def count(name):
        if not name.rpartition("/")[2].startswith("_i_"):  # whether a table has an index is asked each time
            loaded.append(name)

    monkeypatch.setattr(root, "_g_load_child", lambda self, name: count(name) or load(self, name))
    merged(parts)
    n_once, n_rows = len(loaded), 0
    merged([*parts, *parts])
    n_twice = len(loaded) - n_once
    for path in parts:
        with tables.open_file(path) as file:
            counts = json.loads(file.root._v_attrs[schema.COUNTS])
        n_rows += 5 + len(counts) + sum(len(rows) for rows in counts.values())  # Run_Table, four of checksums, groups
    assert n_twice - n_once <= n_rows


# -- damage ---------------------------------------------------------------------------------------


def of_counts(change):
    def damage(file):
        counts = json.loads(file.root._v_attrs[schema.COUNTS])
        group = next(iter(counts))
        change(counts, counts[group], next(name for name in counts[group] if name[0] == "T"))
        file.root._v_attrs[schema.COUNTS] = json.dumps(counts)

    return damage


def nodes(file, kind, first):
    found = [node for node in file.walk_nodes("/", kind) if node._v_name.startswith(first) and node._v_depth == 2]
    return [node for node in found if node.nrows]


def other_map(file):
    table = nodes(file, "Table", "Events")[0]
    rows = table[:]
    rows["tel_map"][0, 0] = 1000
    table[:] = rows


def pickled(file, node=None):
    node = node or nodes(file, "EArray", "T")[0]
    group, name = node._v_parent._v_pathname, node._v_name
    node.remove()
    file.create_vlarray(group, name, tables.ObjectAtom()).append(print)


DAMAGES = {
    "no JSON": lambda file: setattr(file.root._v_attrs, schema.COUNTS, "{'"),
    "a list": lambda file: setattr(file.root._v_attrs, schema.COUNTS, "[1]"),
    "text for a number": of_counts(lambda counts, rows, tel: rows.update({tel: "7"})),
    "more images": of_counts(lambda counts, rows, tel: rows.update({tel: rows[tel] + 1})),
    "images forgotten": of_counts(lambda counts, rows, tel: rows.pop(tel)),
    "a group forgotten": of_counts(lambda counts, rows, tel: counts.pop(next(iter(counts)))),
    "events forgotten": of_counts(lambda counts, rows, tel: rows.pop("Events")),
    "another group": of_counts(lambda counts, rows, tel: counts.update(E9=counts.pop(next(iter(counts))))),
    "a group is gone": lambda file: file.remove_node(nodes(file, "Table", "Events")[0]._v_parent, recursive=True),
    "an array is gone": lambda file: nodes(file, "EArray", "T")[0].remove(),
    "a table is gone": lambda file: nodes(file, "Table", "Events")[0].remove(),
    "Run_Table is gone": lambda file: file.root.Run_Table.remove(),
    "an array is an object": pickled,
    "Run_Table is an object": lambda file: pickled(file, file.root.Run_Table),
    "images cut": lambda file: nodes(file, "EArray", "T")[0].truncate(0),
    "events cut": lambda file: nodes(file, "Table", "Events")[0].truncate(0),
    "events point to no image": other_map,
}


@pytest.mark.one_in(5)
@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_part_is_named(damage, place, parts):
    """And nothing is written; whether it is the first, after which the output is made, or another."""
    with changed(parts[place]) as file:
        DAMAGES[damage](file)
    for options in ({"seed": 0}, {"split": SPLIT}):
        with pytest.raises(DatasetError) as caught:
            merged(parts, **options)
        assert str(caught.value).startswith(f"{parts[place]}: ")
        assert "\n" not in str(caught.value)
    assert sorted(parts[0].parent.glob("*.h5")) == sorted(parts)
    assert not list(parts[0].parent.parent.glob("*.h5"))


@pytest.mark.parametrize("place", [0, 2])
def test_attributes_of_a_part_are_not_unpickled(place, parts, tmp_path):
    class Hostile:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    with changed(parts[place]) as file:
        node = nodes(file, "EArray", "T")[0]
        for owner in (file.root, node, node._v_parent):
            owner._v_attrs.hostile = Hostile()
    shutil.rmtree(tmp_path / "ran", ignore_errors=True)
    if place:  # only the first one's are read at all
        merged(parts)
    else:
        with pytest.raises(DatasetError, match="its attribute hostile is a Python object, which is not read"):
            merged(parts)
    assert not (tmp_path / "ran").exists()


def merged_or_refused(parts):
    """Return the events, and ''; or None and what was said."""
    try:
        return events_of(merged(parts)), ""
    except DatasetError as err:
        return None, str(err)


@pytest.mark.slow
def test_a_block_of_zeros_is_named_or_harmless(parts):
    """Wherever it is in a part: one line that names it, or all events are there."""
    expected, dice, n_named = events_of(merged(parts)), random.Random(1), 0
    whole = parts[2].read_bytes()
    for place in (dice.randrange(len(whole)) for _ in range(40)):
        parts[2].write_bytes(whole[:place] + bytes(512) + whole[place + 512 :])
        found, message = merged_or_refused(parts)
        n_named += found is None
        assert message.startswith(f"{parts[2]}: ") if found is None else len(found) == len(expected)
        assert "\n" not in message
    assert 0 < n_named < 40


def test_images_of_all_parts_are_where_events_point(parts, made_parts):
    found = {}
    for path in made_parts:
        found |= {
            (event["run_number"], event["gamma_hadron_label"], event["event_number"], tel_id): pixels.tobytes()
            for event in read_dataset(path)
            for tel_id, pixels in event["pixels"].items()
        }
    together = {
        (event["run_number"], event["gamma_hadron_label"], event["event_number"], tel_id): pixels.tobytes()
        for event in read_dataset(merged(parts, seed=3, split=SPLIT))
        for tel_id, pixels in event["pixels"].items()
    }
    assert together == found

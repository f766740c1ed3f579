"""The plan of the house: which package may import which, no circles, and one name for one class."""

import ast
from collections import Counter
from pathlib import Path

import image_extractor

ROOT = Path(image_extractor.__file__).parent

#: Rooms of the top that everybody may use: they import nothing but one another.
VOCABULARY = {
    "version", "errors", "energy_bins", "telescopes", "primaries", "core_positions", "input_files", "compiled",
    "tested_versions", "whole_files", "split_fractions", "image_scales", "sky_offsets", "value_ranges",
    "times", "other_names",
}  # fmt: skip

#: Each package, and the top's other rooms, with what they may import besides the vocabulary and themselves.
ALLOWED = {
    "terminal": set(),
    "mapping": set(),
    "parameters": set(),
    "settings": {"mapping", "parameters", "terminal"},
    "config": {"settings", "terminal"},
    "hdf5": {"config", "parameters", "terminal"},
    "events": {"hdf5"},
    "reconstruction": {"parameters", "hdf5", "config", "terminal"},
    "cuts": {"config", "hdf5", "terminal"},
    "inputs": {"hdf5", "terminal"},
    "conversion": {"inputs", "mapping", "parameters", "cuts", "hdf5", "events", "config", "settings", "terminal"},
    "analysis": {
        "reconstruction", "conversion", "inputs", "cuts", "parameters", "hdf5", "config", "settings", "terminal",
    },
    "workers": {"hdf5", "terminal"},
    "batch": {
        "workers", "analysis", "conversion", "inputs", "cuts", "reconstruction", "hdf5", "events", "viewing", "config",
        "terminal",
    },
    "training": {"hdf5", "events", "parameters", "terminal"},
    "viewing": {"hdf5", "events", "mapping", "reconstruction", "parameters", "inputs", "cuts", "config", "terminal"},
    "demo": {"cuts", "inputs", "config", "terminal"},
    "image_extractor": {"batch", "analysis", "conversion", "inputs", "cuts", "config"},
    "dataset": {"training", "hdf5", "events"},
    "report": {"viewing", "training", "hdf5", "terminal"},
    "ctlearn_reader": {"dataset", "training", "hdf5", "parameters"},
    "commands": {
        "image_extractor", "batch", "workers", "report", "viewing", "cuts", "reconstruction", "hdf5", "config", "terminal",
    },
    "__init__": {"image_extractor"},
    "__main__": {"commands"},
}  # fmt: skip


def rooms():
    """Return {room: what it imports}, dotted names below the package; imports in functions, too."""
    names = {room_name(path): path for path in ROOT.rglob("*.py")}
    return {name: set(imported(path, names)) for name, path in names.items()}


def room_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imported(path, names):
    package = (image_extractor.__name__, *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            found = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            base, found = "", [alias.name for alias in node.names]
        else:
            continue
        for whole in found:
            parts = whole.split(".")
            if parts[0] != image_extractor.__name__:
                continue
            inner, outer = ".".join(parts[1:]), ".".join(parts[1:-1])
            yield inner if inner in names else outer if outer in names else "__init__"


def place(room):
    return room.split(".")[0]


def test_packages_import_only_what_lies_below():
    wrong = []
    for room, others in rooms().items():
        here = place(room)
        allowed = VOCABULARY if here in VOCABULARY else ALLOWED[here] | VOCABULARY
        wrong += [f"{room} imports {other}" for other in sorted(others) if place(other) not in allowed | {here}]
    assert not wrong, "\n".join(wrong)


def test_the_table_has_no_circle():
    order, left = [], {here: set(others) for here, others in ALLOWED.items()}
    while left:
        free = [here for here, others in left.items() if not others & left.keys()]
        assert free, f"in a circle: {sorted(left)}"
        order += free
        left = {here: others for here, others in left.items() if here not in free}
    assert set(order) == set(ALLOWED)


def test_no_room_imports_itself_by_way_of_others():
    left = {room: others - {room} for room, others in rooms().items()}
    while left:
        free = [room for room, others in left.items() if not others & left.keys()]
        assert free, f"in a circle, or above one: {sorted(left)}"
        left = {room: others for room, others in left.items() if room not in free}


def test_one_name_for_one_class():
    names = Counter(
        node.name
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert not {name: n for name, n in names.items() if n > 1}

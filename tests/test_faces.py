"""What people and their scripts rely on: names to import, commands to type, parts and settings of earlier versions."""

import hashlib
import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import image_extractor
from image_extractor import config
from image_extractor.batch import tasks
from image_extractor.batch.many_files import Report
from image_extractor.image_extractor import ImageExtractor

PACKAGE = Path(image_extractor.__file__).parent
ROOT = Path(__file__).parents[1]

#: SHA-256 of the default settings as version 1.1.0 wrote them to its datasets and parts.
DEFAULT_SETTINGS = "64e24a975a775282aa94f701df8b870f64f58513039eef5acb182ec13ccba7a3"


def python(*arguments, **options):
    environment = os.environ | {"PYTHONPATH": os.fspath(PACKAGE.parent)}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, **options)


# -- names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("from image_extractor import image_extractor as x", "image_extractor.image_extractor"),
        ("from image_extractor import ImageExtractor as x", "ImageExtractor"),
        ("from image_extractor.image_extractor import ImageExtractor as x", "ImageExtractor"),
        ("from image_extractor.dataset import ImageDataset as x", "ImageDataset"),
        ("from image_extractor import config as x", "image_extractor.config"),
        ("from image_extractor.demo import write_demo_file as x", "write_demo_file"),
    ],
)
def test_imports_that_scripts_have(line, shown):
    """Each in a Python of its own, which has imported nothing else."""
    done = python("-P", "-c", f"{line}; print(x.__name__)")
    assert done.stdout == f"{shown}\n", done.stderr


def test_errors_are_at_the_top():
    names = {"ConfigError", "DatasetError", "ImageExtractor", "InputError", "__version__"}
    assert set(image_extractor.__all__) == names
    assert all(hasattr(image_extractor, name) for name in names)


@pytest.mark.parametrize("name", ["image_extractor", "config", "dataset", "demo"])
def test_what_people_import_is_named_and_hinted(name):
    """With a docstring, and a type for each argument and what is returned."""
    room = importlib.import_module(f"image_extractor.{name}")
    lacking = []
    for public in room.__all__:
        thing = getattr(room, public)
        for function in members(thing) if inspect.isclass(thing) else [thing]:
            if inspect.isfunction(function):
                wanted = [*inspect.signature(function).parameters, "return"]
                hints = {*function.__annotations__, "self", "cls"}
                lacking += [f"{function.__qualname__}: {one}" for one in wanted if one not in hints]
                lacking += [] if function.__doc__ or function.__name__[0] == "_" else [function.__qualname__]
    assert not lacking


def members(kind):
    for member in vars(kind).values():
        yield member.fget if isinstance(member, property) else getattr(member, "__func__", member)


def test_type_checkers_are_told_of_the_hints():
    assert (PACKAGE / "py.typed").is_file()


def test_a_report_has_its_older_name():
    report = Report([{"file": "a", "status": "failed", "reason": "a: no"}])
    assert report.runs is report.outcomes
    assert report.failed == report.outcomes


# -- commands --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "image_extractor"],
        ["-m", "image_extractor.config"],
        ["-m", "image_extractor.demo"],
        ["image_extractor/config.py"],
        ["scripts/image_extractor.py"],
    ],
)
def test_ways_to_call_it(arguments):
    done = python(*arguments, "--help", cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")


def test_the_script_in_bin_does_not_hide_the_package(tmp_path):
    """It has the package's name, and Python looks for it beside a script first."""
    (tmp_path / "image_extractor.py").write_text((ROOT / "scripts" / "image_extractor.py").read_text())
    (tmp_path / "neighbour.py").write_text(
        "from image_extractor import ImageExtractor, image_extractor\nprint(image_extractor.__name__)\n"
    )
    assert python(tmp_path / "neighbour.py").stdout == "image_extractor.image_extractor\n"
    assert (
        python(tmp_path / "image_extractor.py", "--version").stdout
        == f"image_extractor {image_extractor.__version__}\n"
    )


# -- parts of earlier versions ---------------------------------------------------------------------------


def test_a_part_is_known_by_what_version_1_1_0_wrote(tmp_path):
    """A run that was interrupted before an update goes on behind it, as long as nothing changes what parts hold."""
    data_file, settings_file = tmp_path / "run1.simtel", tmp_path / "settings.config"
    data_file.write_bytes(b"12345")
    os.utime(data_file, ns=(7, 7))
    settings_file.write_text(config.default_text())
    settings = config.load(settings_file) | {"use_pkl_dict": False}
    converter = ImageExtractor.from_config(tmp_path / "o.h5", None, settings).converter
    task = tasks.ConversionTask("run1.simtel", data_file, tmp_path / "part.h5", tasks.Options(max_events=3))
    facts = json.loads(tasks._fingerprint(converter, task))
    versions = {name: facts.pop(name) for name in list(facts) if name.endswith("_version")}
    assert set(versions) == {
        f"{name}_version" for name in ("format", "image_extractor", "ctapipe", "eventio", "tables")
    }
    text = facts.pop("config").replace("use_pkl_dict = False", "use_pkl_dict = True")
    assert hashlib.sha256(text.encode()).hexdigest() == DEFAULT_SETTINGS
    assert facts == {
        "bins_cuts_dict_sha256": "",
        "format": "image_extractor dataset",
        "input": [str(data_file), 5, 7],
        "max_events": 3,
        "on_truncated": "refuse",
    }

"""This program's own processes import without garbage collector and extensions of numba; nobody else's do."""

import gc
import subprocess
import sys

import pytest
from helpers.processes import ROOT

from image_extractor.demo import write_demo_file
from image_extractor.workers.start_up import import_frozen


def run_script(folder, *lines):
    (folder / "script.py").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-P", "script.py"]
    ended = subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    return ended.stdout.splitlines(), ended.stderr


def test_workers_are_forked_with_a_collector_that_leaves_imports_alone(tmp_path):
    # in a process of its own: a process has one fork server, which here any test before may have started
    told, complaint = run_script(
        tmp_path,
        "import gc, sys",
        "from image_extractor.workers.local_pool import LocalPool",
        "def state():",
        "    modules = 'image_extractor.conversion.converter' in sys.modules, 'awkward' in sys.modules",
        "    return gc.isenabled(), gc.get_freeze_count() > 10_000, *modules",
        "if __name__ == '__main__':",
        "    with LocalPool(1, ['image_extractor.conversion.converter']) as pool:",
        "        print(pool.submit(state).result())",
    )
    assert told == ["(True, True, True, False)"], complaint


def test_the_command_asks_nobody_else_for_types_of_numba(tmp_path, make_config):
    """Where awkward is installed, it would be imported."""
    write_demo_file(tmp_path / "a.simtel", events=3, telescopes="LST:2")
    config = make_config(telescope_type_mode="LST")
    told, complaint = run_script(
        tmp_path,
        "import gc, sys",
        "from image_extractor.commands.convert import main",
        f"code = main(['a.simtel', 'o.h5', {str(config)!r}])",
        "print(code, 'numba' in sys.modules, 'awkward' in sys.modules, gc.isenabled(), gc.get_freeze_count() > 100_000)",
    )
    assert told[-1:] == ["0 True False True True"], complaint


def test_an_import_that_fails_leaves_it_on():
    gc.unfreeze()
    with pytest.raises(ModuleNotFoundError):
        import_frozen(["image_extractor.no_such_room"])
    assert gc.isenabled()
    gc.unfreeze()


def test_it_is_left_alone_in_the_process_of_a_script(tmp_path):
    write_demo_file(tmp_path / "a.simtel", events=3, telescopes="LST:2")
    told, complaint = run_script(
        tmp_path,
        "import gc",
        "before = gc.get_freeze_count()",
        "from image_extractor import ImageExtractor",
        "ImageExtractor('a.h5', None, 'gh_class', telescope_type_mode='LST', use_pkl_dict=False, energy_bins_min=-3,",
        "               energy_bins_max=4, energy_bins_bin_size=7).process_files(['a.simtel'], jobs=1)",
        "print(gc.isenabled(), gc.get_freeze_count() - before)",
    )
    assert told[-1:] == ["True 0"], complaint

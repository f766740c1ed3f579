"""Files that ctapipe-process made of demo files."""

import pytest
from helpers.ctapipe_process import stored_by_ctapipe

from image_extractor.demo import write_demo_file


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory):
    """Two runs of several cameras, with showers that are used twice: simtel files, and what ctapipe made of these."""
    folder = tmp_path_factory.mktemp("two_runs")
    pairs = []
    for run, primary in ((4, "gamma"), (5, "proton")):
        simtel = folder / f"run{run}.simtel.gz"
        telescopes = "LST:2,MSTF:1,SSTC:2"
        write_demo_file(simtel, events=6, telescopes=telescopes, run=run, primary=primary, reuse=2, energy="1,50")
        pairs.append((simtel, stored_by_ctapipe(simtel, folder / f"run{run}.dl1.h5")))
    return pairs


@pytest.fixture(scope="session")
def merged(two_runs, tmp_path_factory):
    """These as one file, by ctapipe-merge."""
    from ctapipe.core import run_tool
    from ctapipe.tools.merge import MergeTool

    folder = tmp_path_factory.mktemp("merged")
    output = folder / "both.dl1.h5"
    arguments = [*(str(hdf5) for _, hdf5 in two_runs), f"--output={output}", "--quiet"]
    assert run_tool(MergeTool(), argv=arguments, cwd=folder) == 0
    return output

"""ctapipe-process itself, in this process: files of DL1 parameters to compare datasets with, and of images."""

import json

import numpy as np
import tables

#: Of the settings [cleaning] as they are by default, in ctapipe's words.
CLEANING = {
    "picture_threshold_pe": [
        ["type", "*", 4.0], ["type", "LST*", 8.5], ["type", "MST*NectarCam", 9.0], ["type", "MST*FlashCam", 9.0],
    ],
    "boundary_threshold_pe": [
        ["type", "*", 2.0], ["type", "LST*", 4.25], ["type", "MST*NectarCam", 4.5], ["type", "MST*FlashCam", 4.5],
    ],
    "min_picture_neighbors": 2,
    "keep_isolated_pixels": False,
}  # fmt: skip


def process(path, folder, monkeypatch, *, trigger=None, quality=None, cleaning=CLEANING, focal_length="EFFECTIVE"):
    """Run ctapipe-process on a simtel file; return {tel_id: structured array of its parameters}.

    Its fit of times starts from the same random numbers for every image, as ours does: of itself ctapipe goes on with
    those that the last image left.
    """
    from ctapipe.core import run_tool
    from ctapipe.tools.process import ProcessorTool

    same_starts(monkeypatch)
    settings = {
        "SimTelEventSource": {"focal_length_choice": focal_length},
        "DataWriter": {"write_dl1_parameters": True, "overwrite": True},
        "ImageProcessor": {"TailcutsImageCleaner": cleaning},
        **({"SoftwareTrigger": trigger} if trigger else {}),
    }
    if quality:
        settings["ImageProcessor"]["ImageQualityQuery"] = {"quality_criteria": quality}
    (folder / "process.json").write_text(json.dumps(settings))
    output = folder / "ctapipe.dl1.h5"
    arguments = [f"--input={path}", f"--output={output}", f"--config={folder / 'process.json'}", "--quiet"]
    assert run_tool(ProcessorTool(), argv=arguments, cwd=folder) == 0
    with tables.open_file(str(output)) as file:
        group = file.root.dl1.event.telescope.parameters
        return {int(node._v_name.removeprefix("tel_")): node[:] for node in group._f_iter_nodes("Table")}


def stored_by_ctapipe(path, output, *, focal_length="EFFECTIVE", **writer):
    """Run ctapipe-process on a simtel file, calibrating as we do by default; return the file that it writes.

    writer : settings of its DataWriter; without any it writes images and parameters.
    """
    from ctapipe.core import run_tool
    from ctapipe.tools.process import ProcessorTool

    writer = writer or {"write_dl1_images": True, "write_dl1_parameters": True}
    settings = {
        "SimTelEventSource": {"focal_length_choice": focal_length},
        "DataWriter": {"overwrite": True, "write_dl1_parameters": False, **writer},
    }
    folder = output.parent
    (folder / "store.json").write_text(json.dumps(settings))
    arguments = [f"--input={path}", f"--output={output}", f"--config={folder / 'store.json'}", "--quiet"]
    assert run_tool(ProcessorTool(), argv=arguments, cwd=folder) == 0
    return output


def same_starts(monkeypatch):
    """Let ctapipe begin every fit of times with the random numbers with which a process begins."""
    from ctapipe.fitting import lts_linear_regression as original
    from ctapipe.image import timing

    state = np.random.default_rng(0).bit_generator.state

    def fit(*args, **kwargs):
        random = np.random.default_rng()
        random.bit_generator.state = state
        return original(*args, rng=random, **kwargs)

    monkeypatch.setattr(timing, "lts_linear_regression", fit)


def identities(found):
    """Return {(tel_id, obs_id, event_id), ...} of the images that were parameterised."""
    return {
        (tel_id, int(row["obs_id"]), int(row["event_id"]))
        for tel_id, rows in found.items()
        for row in rows[~np.isnan(rows["hillas_intensity"])]
    }

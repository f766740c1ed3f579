#!/usr/bin/env python
"""What image parameters cost: a table per camera of the time for an image, beside ctapipe's ImageProcessor.

Images are those of the given simtel files, or of synthetic gamma rays; those without parameters are left out. Ways take
turns: each goes through all images, as a conversion does, then the next one. The median over rounds counts, then that
over images. `line` is the line through peak times: what `values` takes more with peak times than without; `its fit` is
ctapipe's for the same.
"""

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

DEMO = {"telescopes": "LST:1,MSTN:1,MSTF:1,SCT:1,SSTC:2,SSTA:2,SSTD:2", "energy": "0.5,30", "scatter": 250.0, "seed": 5}
AUTO = {
    "method": "tailcuts", "picture": "auto", "boundary": "auto", "neighbours": 2,
    "picture_of": {}, "boundary_of": {}, "neighbours_of": {},
}  # fmt: skip


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="simtel files; none: synthetic gamma rays")
    parser.add_argument("--events", type=int, default=60, help="synthetic events (default: 60)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds for each image (default: 15)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        files = options.files or [demo_file(Path(folder) / "gamma.simtel.zst", options.events)]
        images = [image for file in files for image in ways_of(file)]
    times = in_turns([ways for *_, ways in images], options.rounds)
    cameras = {}
    for (name, kept, _), row in zip(images, times, strict=True):
        cameras.setdefault(name, []).append([kept, *row])
    print(f"{'camera':10} {'images':>6} {'pixels':>6} {'clean':>7} {'values':>7} {'line':>7} {'all':>7}"
          f" {'ctapipe':>9} {'ratio':>6} {'its fit':>8}  [us]")  # fmt: skip
    for name, rows in sorted(cameras.items()):
        kept, clean, values, without, whole, theirs, fit = np.median(rows, axis=0)
        print(f"{name:10} {len(rows):6} {kept:6.0f} {clean:7.1f} {values:7.1f} {values - without:7.1f} {whole:7.1f}"
              f" {theirs:9.1f} {theirs / whole:5.0f}x {fit:8.1f}")  # fmt: skip
    return 0


def demo_file(path, n_events):
    """Write synthetic gamma rays."""
    from image_extractor.demo import write_demo_file

    write_demo_file(path, events=n_events, **DEMO)
    return path


def ways_of(file):
    """Yield camera, number of pixels kept, and the ways to parameterise it, of each image that has parameters."""
    from ctapipe.calib import CameraCalibrator
    from ctapipe.io import SimTelEventSource

    from image_extractor.parameters.camera_parameters import camera_parameters

    with SimTelEventSource(file, focal_length_choice="EQUIVALENT", skip_calibration_events=True) as source:
        calibrate, process = CameraCalibrator(source.subarray), image_processor(source.subarray)
        for event in source:
            calibrate(event)
            for tel_id, dl1 in event.dl1.tel.items():
                telescope = source.subarray.tel[tel_id]
                ours = camera_parameters(telescope, AUTO)
                mask = ours.clean(dl1.image)
                if not np.isnan(ours.values(dl1.image, mask)[0]):
                    name, ways = str(telescope.camera.name), ways_of_image(ours, process, tel_id, dl1)
                    yield name, mask.sum(), ways


def ways_of_image(ours, process, tel_id, dl1):
    """Return functions: our cleaning, parameters, those without times, both, ctapipe's both, ctapipe's fit."""
    from ctapipe.fitting import lts_linear_regression

    image, peak_time, one = dl1.image, dl1.peak_time, alone(tel_id, dl1.image, dl1.peak_time)
    mask = ours.clean(image)
    along = process.subarray.tel[tel_id].camera.geometry.pix_x.to_value("m")[mask]
    times = peak_time[mask].astype(np.float64)
    return [
        lambda: ours.clean(image),
        lambda: ours.values(image, mask, peak_time),
        lambda: ours.values(image, mask),
        lambda: ours.values(image, ours.clean(image), peak_time),
        lambda: process(one),
        lambda: lts_linear_regression(along, times, samples=5),
    ]


def image_processor(subarray):
    """Return ctapipe's, with the same thresholds."""
    from ctapipe.image import ImageProcessor
    from traitlets.config import Config

    from image_extractor.parameters.cleaning import thresholds

    own = {tel_id: thresholds(telescope, AUTO) for tel_id, telescope in subarray.tel.items()}
    cleaner = {
        "picture_threshold_pe": [("id", tel_id, one.picture) for tel_id, one in own.items()],
        "boundary_threshold_pe": [("id", tel_id, one.boundary) for tel_id, one in own.items()],
        "min_picture_neighbors": [("id", tel_id, one.neighbours) for tel_id, one in own.items()],
    }
    return ImageProcessor(subarray, config=Config({"TailcutsImageCleaner": cleaner}))


def alone(tel_id, image, peak_time):
    """Return a ctapipe event of one image."""
    from ctapipe.containers import ArrayEventContainer

    event = ArrayEventContainer()
    event.dl1.tel[tel_id].image, event.dl1.tel[tel_id].peak_time = image, peak_time
    return event


def in_turns(images, rounds):
    """Return the median time of each way [us], array (n_images, n_ways), after a round that warms it up."""
    seconds = np.empty((rounds + 1, len(images), len(images[0])))
    for times in seconds:
        for way in range(len(images[0])):
            for i, ways in enumerate(images):
                start = time.perf_counter()
                ways[way]()
                times[i, way] = time.perf_counter() - start
    return np.median(seconds[1:], axis=0) * 1e6


if __name__ == "__main__":
    sys.exit(main())

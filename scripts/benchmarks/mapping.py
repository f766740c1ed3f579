#!/usr/bin/env python
"""What each mapping costs: a table per camera and method of the shape of images and the speed.

Cleaned images are compared as pixels and as arrays: shift of the centroid, relative error of width and length (second
moments). Images are those of the given simtel files, or of synthetic gamma rays. With --dl1dh-python, the Python of an
environment with dl1-data-handler, its mappers of the same name and shape do the same images in the same run.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

MAPPERS = {
    "shifting": "ShiftingMapper",
    "axial": "AxialMapper",
    "oversampling": "OversamplingMapper",
    "nearest": "NearestNeighborMapper",
    "bilinear": "BilinearMapper",
    "bicubic": "BicubicMapper",
    "rebinning": "RebinMapper",
    "square": "SquareMapper",
}
DEMO = {"telescopes": "LST:1,MSTN:2,MSTF:2,SCT:2,SSTC:4,SSTA:4,SSTD:4", "energy": "0.2,30", "scatter": 250.0, "seed": 5}
MIN_PIXELS = 5
ROUNDS = 151
#: Images that are mapped at a time: arrays of a few MB, which get used memory again.
BLOCK = 64


def main():
    """Print the table, or make the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="simtel files; none: synthetic gamma rays")
    parser.add_argument("--events", type=int, default=100, help="synthetic events (default: 100)")
    parser.add_argument("--shape", default="auto", help="cells per side of the methods that resample")
    parser.add_argument(
        "--max-leakage", type=float, default=1.0, help="largest part of an image in the outermost pixels (default: 1)"
    )
    parser.add_argument("--dl1dh-python", metavar="PATH", help="a Python that can import dl1_data_handler")
    parser.add_argument("--picture", metavar="FILE", help="draw the brightest image of the files under all mappings")
    parser.add_argument("--dl1dh-worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.dl1dh_worker:
        run_dl1dh(*options.dl1dh_worker)
        return 0
    cameras = read_images(options.files) if options.files else demo_images(options.events)
    cameras = contained(cameras, options.max_leakage)
    if options.picture:
        draw(cameras, options.picture)
        return 0
    shape = options.shape if options.shape == "auto" else int(options.shape)
    print_table(cameras, shape, options.dl1dh_python)
    return 0


# -- images -----------------------------------------------------------------------------------------


def demo_images(n_events):
    """Return the images of synthetic gamma rays, as :func:`read_images`."""
    from image_extractor.demo import write_demo_file

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gamma.simtel.zst"
        write_demo_file(path, events=n_events, **DEMO)
        return read_images([path])


def read_images(files):
    """Return {camera: (geometry, charges of cleaned images, float32 array (n_images, n_pixels))}."""
    from ctapipe.calib import CameraCalibrator
    from ctapipe.image import tailcuts_clean
    from ctapipe.io import SimTelEventSource

    geometries, images = {}, {}
    for file in files:
        with SimTelEventSource(file, focal_length_choice="EQUIVALENT") as source:
            calibrate = CameraCalibrator(subarray=source.subarray)
            for event in source:
                calibrate(event)
                for tel_id, dl1 in event.dl1.tel.items():
                    geometry = source.subarray.tel[tel_id].camera.geometry
                    keep = tailcuts_clean(geometry, dl1.image, picture_thresh=10, boundary_thresh=5)
                    if keep.sum() >= MIN_PIXELS:
                        geometries.setdefault(geometry.name, geometry)
                        images.setdefault(geometry.name, []).append(np.where(keep, dl1.image, 0))
    return {name: (geometries[name], np.array(images[name], np.float32)) for name in sorted(images)}


def contained(cameras, max_leakage):
    """Return the images of which no larger part is in the outermost pixels, and the cameras that have any."""
    chosen = {}
    for name, (geometry, charges) in cameras.items():
        leakage = charges[:, geometry.get_border_pixel_mask(1)].sum(axis=1) / charges.sum(axis=1)
        if (leakage <= max_leakage).any():
            chosen[name] = geometry, charges[leakage <= max_leakage]
    return chosen


# -- shape of images -------------------------------------------------------------------------------


def pixel_moments(geometry, images):
    """Return centroid x, y, width and length of images, float array (n_images, 4) [m], as ctapipe computes them."""
    from ctapipe.image import hillas_parameters

    rows = []
    for image in images:
        lit = image > 0
        hillas = hillas_parameters(geometry[lit], image[lit])
        x, y = (getattr(hillas, f"fov_{name}", None) for name in ("lon", "lat"))
        x, y = (hillas.x, hillas.y) if x is None else (x, y)
        sizes = [getattr(hillas, name).to_value("m") for name in ("width", "length")]
        rows.append([x.to_value("m"), y.to_value("m"), *sizes])
    return np.array(rows)


def moments(x, y, images):
    """Return the same of values at x, y, those above 0; images : float array (n_images, n)."""
    weights = np.clip(images.astype(np.float64), 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    mean_x, mean_y = weights @ x, weights @ y
    xx, yy, xy = weights @ x**2 - mean_x**2, weights @ y**2 - mean_y**2, weights @ (x * y) - mean_x * mean_y
    mean, difference = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    variances = np.clip([mean - difference, mean + difference], 0, None)
    return np.column_stack([mean_x, mean_y, *np.sqrt(variances)])


def errors(found, true):
    """Return RMS shift of the centroid [mm], and RMS relative error of width and length [%]."""
    shift = np.hypot(*(found - true)[:, :2].T) * 1e3
    broad = true[:, 2] > 1e-4  # an image in a single row of pixels has no width
    relative = [(found[broad, i] / true[broad, i] - 1) * 100 for i in (2, 3)]
    return [float(np.sqrt((values**2).mean())) for values in (shift, *relative)]


def regular_positions(pixel_x, pixel_y, cell_x, cell_y, shape):
    """Return positions of the cells of a lossless array as a network sees it: the best regular grid, sheared or not."""
    design = np.column_stack([cell_x, cell_y, np.ones(len(cell_x))])
    fit = np.linalg.lstsq(design, np.column_stack([pixel_x, pixel_y]), rcond=None)[0]
    i, j = np.indices(shape).reshape(2, -1)
    return (np.column_stack([i, j, np.ones(i.size)]) @ fit).T


def images_per_second(function, n_images):
    """Return the median rate of a function that maps them all, per second of one core."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return n_images / np.median(seconds)


# -- the table --------------------------------------------------------------------------------------

HEADER = """\
| camera | mapping | cells | filled | shift mm | width % | length % | images/s \
| dl1dh: shift mm | width % | length % | images/s | ratio |
|---|---|---|---|---|---|---|---|---|---|---|---|---|"""


def print_table(cameras, shape, dl1dh_python):
    """Print a line per camera and mapping as it is measured."""
    from image_extractor.mapping import images, resampling

    print(HEADER)
    for name, (geometry, charges) in cameras.items():
        true = pixel_moments(geometry, charges)
        square = geometry.pix_type.value == "square"
        lossless = ["shifting"] if square else list(images.LOSSLESS)
        for mapping in [*lossless, *resampling.methods_for(geometry.pix_type.value)]:
            grid = images.pixel_grid(geometry, mapping, "auto" if mapping in lossless else shape)
            ours = measure(geometry, charges, true, grid)
            theirs = None
            if dl1dh_python and (mapping in lossless or not square):
                mapper = "square" if square else mapping
                side = None if grid.is_lossless or mapping == "oversampling" else grid.shape[0]
                theirs = measure_dl1dh(geometry, charges, true, mapper, side, dl1dh_python)
            label = "by rank" if square and mapping in lossless else mapping
            print(line(f"{name} ({len(charges)})", label, grid, ours, theirs), flush=True)


def line(camera, mapping, grid, ours, theirs):
    """Return a line of the table."""
    x, _ = grid.cell_positions()
    filled = np.mean(np.isfinite(x) if grid.is_lossless else np.diff(grid.charge_weights.indptr) > 0)
    cells = [camera, mapping, "x".join(map(str, grid.shape)), f"{filled:.2f}", *shown(ours)]
    cells += ["-"] * 5 if theirs is None else [*shown(theirs), f"{ours[-1] / theirs[-1]:.1f}"]
    return "| " + " | ".join(cells) + " |"


def shown(row):
    """Return the numbers of a row as text."""
    shift, width, length, rate = row
    return [f"{shift:.2f}", f"{width:.2f}", f"{length:.2f}", f"{rate:.0f}"]


def measure(geometry, charges, true, grid):
    """Return shift, width error, length error and images/s of a grid."""
    arrays = grid.arrays(charges).reshape(len(charges), -1)
    if grid.is_lossless:
        pixel = geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m")
        x, y = regular_positions(*pixel, grid.array_x, grid.array_y, grid.shape)
    else:
        x, y = (values.ravel() for values in grid.cell_positions())
    block = charges[np.arange(BLOCK) % len(charges)]
    return [*errors(moments(x, y, arrays), true), images_per_second(lambda: grid.arrays(block), len(block))]


# -- dl1-data-handler, in its own environment ------------------------------------------------------------


def measure_dl1dh(geometry, charges, true, mapper, side, python):
    """Return shift, width error, length error and images/s of its mapper, None if it can't be made."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(
            source, name=geometry.name, mapper=mapper, side=side or 0, charges=charges,
            pix_x=geometry.pix_x.to_value("m"), pix_y=geometry.pix_y.to_value("m"),
            pix_area=geometry.pix_area.to_value("m2"), pix_type=geometry.pix_type.value,
            pix_rotation=geometry.pix_rotation.to_value("deg"),
        )  # fmt: skip
        done = subprocess.run(
            [python, __file__, "--dl1dh-worker", source, target], capture_output=True, text=True, check=False
        )
        if done.returncode:
            print(f"dl1-data-handler, {geometry.name} {mapper}: {done.stderr.strip()[-200:]}", file=sys.stderr)
            return None
        out = dict(np.load(target))
    # it turns the geometry by its rotation; the centroid turns along
    true = true.copy()
    lit = np.clip(charges.astype(np.float64), 0, None)
    true[:, 0], true[:, 1] = (lit @ out[axis] / lit.sum(axis=1) for axis in ("pix_x", "pix_y"))
    if mapper in ("shifting", "axial", "square"):
        x, y = regular_positions(out["pix_x"], out["pix_y"], *np.divmod(out["cell"], out["side"]), (out["side"],) * 2)
    else:
        x, y = out["x"], out["y"]
    return [*errors(moments(x, y, out["arrays"]), true), float(out["rate"])]


def run_dl1dh(source, target):
    """Run one of its mappers: its arrays, where its cells are, its speed."""
    import astropy.units as u
    from ctapipe.instrument import CameraGeometry
    from dl1_data_handler import image_mapper

    given = dict(np.load(source))
    name, kind, side = str(given["name"]), str(given["mapper"]), int(given["side"])
    n_pixels = len(given["pix_x"])
    geometry = CameraGeometry(
        name={"LSTcam": "LSTCam"}.get(name, name),  # it knows cameras by name
        pix_id=np.arange(n_pixels),
        pix_x=given["pix_x"] * u.m,
        pix_y=given["pix_y"] * u.m,
        pix_area=given["pix_area"] * u.m**2,
        pix_type=str(given["pix_type"]),
        pix_rotation=given["pix_rotation"] * u.deg,
    )
    grids = []
    for method in ("_get_grids_for_interpolation", "_get_grids_for_oversampling"):
        record_calls(image_mapper.ImageMapper, method, grids)
    options = {"interpolation_image_shape": side} if side else {}
    mapper = getattr(image_mapper, MAPPERS[kind])(geometry=geometry, **options)
    charges = given["charges"]
    arrays = map_batch(mapper, charges)
    x, y = cells_of(mapper, grids[-1][1])
    block = charges[np.arange(BLOCK) % len(charges)][..., np.newaxis]
    np.savez(
        target, arrays=arrays, x=x, y=y, side=mapper.image_shape, cell=mapper.mapping_table.argmax(axis=1),
        pix_x=mapper.geometry.pix_x.to_value("m"), pix_y=mapper.geometry.pix_y.to_value("m"),
        rate=images_per_second(lambda: mapper.map_image(block), len(block)),
    )  # fmt: skip


def map_batch(mapper, charges):
    """Return its arrays, float array (n_images, n_cells); its mappers take batches since 0.14.9."""
    blocks = [charges[start : start + BLOCK, :, np.newaxis] for start in range(0, len(charges), BLOCK)]
    return np.concatenate([mapper.map_image(block).reshape(len(block), -1) for block in blocks])


def record_calls(owner, name, results):
    """Keep what a method returns: the mappers forget their grids."""
    method = getattr(owner, name)

    def recording(self):
        results.append(method(self))
        return results[-1]

    setattr(owner, name, recording)


def cells_of(mapper, points):
    """Return x and y of its cells, in the order of its arrays: the grid, without its margin, upside down."""
    pad, inner = mapper.internal_pad, mapper.image_shape
    fine = round(len(points) ** 0.5) // (inner + 2 * pad)
    if fine == 0 or (fine * (inner + 2 * pad)) ** 2 != len(points):
        return np.zeros(inner**2), np.zeros(inner**2)  # of axial, shifting and square, whose grid is fitted
    cells = points.reshape(inner + 2 * pad, fine, inner + 2 * pad, fine, 2).mean(axis=(1, 3))
    return cells[pad : pad + inner, pad : pad + inner][::-1].reshape(-1, 2).T


# -- the picture ------------------------------------------------------------------------------------


def draw(cameras, file):
    """Draw the brightest image under all mappings, x to the right and y up."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    from image_extractor.mapping import images, resampling

    geometry, charges = max(cameras.values(), key=lambda camera: camera[1].sum(axis=1).max())
    image = charges[charges.sum(axis=1).argmax()]
    mappings = [*images.LOSSLESS, *resampling.methods_for(geometry.pix_type.value)]
    figure, axes = plt.subplots(2, 4, figsize=(10, 5.4), layout="constrained")
    top = image.max() ** 0.5
    points = axes.flat[0]
    points.scatter(
        geometry.pix_x, geometry.pix_y, c=np.sqrt(image.clip(0)), s=9, marker="h", linewidths=0, vmin=0, vmax=top
    )
    points.set(title=f"{geometry.name}: pixels", aspect="equal", xlabel="x [m]", ylabel="y [m]")
    for axis, mapping in zip(axes.flat[1:], mappings, strict=False):
        grid = images.pixel_grid(geometry, mapping)
        array = grid.arrays(image[np.newaxis])[0]
        shades = np.sqrt(array.clip(0))
        axis.imshow(np.where(empty(grid), np.nan, shades).T, origin="lower", vmin=0, vmax=shades.max())
        axis.set(title=f"{mapping} {grid.shape[0]}x{grid.shape[1]}", xticks=[], yticks=[])
    figure.savefig(file, dpi=110)


def empty(grid):
    """Mark the cells without pixel."""
    if grid.is_lossless:
        return np.isnan(grid.cell_positions()[0])
    return (np.diff(grid.charge_weights.indptr) == 0).reshape(grid.shape)


if __name__ == "__main__":
    sys.exit(main())

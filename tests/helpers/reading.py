"""Datasets read with plain PyTables, and simtel files with plain ctapipe: what tests compare."""

import warnings
from pathlib import Path

import numpy as np
import tables

SCALARS = (
    "event_number", "run_number", "gamma_hadron_label", "core_x", "core_y", "h_first_int", "mc_energy", "alt", "az",
    "reconstructed_energy",
)  # fmt: skip


def read_dataset(path):
    """Return all events of a dataset: dicts with the table's name, the scalars, and per telescope the stored pixels."""
    with tables.open_file(str(path)) as file:
        tel_table = file.root.Tel_Table[:]
        cameras = {node._v_name: node[:] for node in file.root.Cameras._f_iter_nodes()}
        found = []
        for table in file.walk_nodes("/", "Table"):
            if table._v_name.startswith("Events"):
                for row in table[:]:
                    event = {name: row[name] for name in row.dtype.names if np.ndim(row[name]) == 0}
                    event["table"], event["group"] = table._v_name, table._v_parent._v_name
                    event["pixels"] = {
                        int(tel["tel_id"]): to_pixels(array, cameras[tel["camera"].decode()], table._v_attrs)
                        for tel, array in zip(tel_table, _arrays(table, row, tel_table), strict=True)
                        if array is not None
                    }
                    found.append(event)
    return found


def _arrays(table, row, tel_table):
    for i, tel_id in enumerate(tel_table["tel_id"]):
        if "tel_map" in row.dtype.names:
            index = row["tel_map"][i]
            yield None if index < 0 else table._v_parent[f"T{tel_id}"][index]
        else:
            yield row[f"T{tel_id}"] if row["trig_list"][i] else None


def to_pixels(array, camera, attrs):
    """Return the stored numbers (n_channels, n_pixels) at the pixels' cells, having checked that cells are whole."""
    if attrs.dim_order == "channels_last":
        array = np.moveaxis(array, -1, 0)
    factor = int(attrs.scale_factor)
    small = array[:, ::factor, ::factor]
    # a damaged file may give charges that are no numbers
    assert np.array_equal(np.kron(small, np.ones((factor, factor), array.dtype)), array, equal_nan=True)
    outside = np.ones(small.shape[1:], bool)
    outside[camera["array_x"], camera["array_y"]] = False
    assert not small[:, outside].any()
    return small[:, camera["array_x"], camera["array_y"]]


def dl1_events(path, extractor="NeighborPeakWindowSum"):
    """Yield ctapipe's own DL1 events of a simtel file: a fresh source and calibrator."""
    from ctapipe.calib import CameraCalibrator
    from ctapipe.io import SimTelEventSource

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            source = SimTelEventSource(path)
        except RuntimeError:
            source = SimTelEventSource(path, focal_length_choice="EQUIVALENT")
        calibrate = CameraCalibrator(source.subarray, image_extractor_type=extractor)
        for event in source:
            calibrate(event)
            yield source, event


def content(path):
    """Return everything that two runs with the same inputs, settings and seed must have in common.

    The root's checksum is over its time and command line, too.
    """
    found = {}
    with tables.open_file(str(path)) as file:
        for node in file.walk_nodes("/"):
            attributes = {
                name: np.asarray(node._v_attrs[name]).tolist()
                for name in node._v_attrs._f_list("user")
                if name not in ("utc_time", "command_line", "checksum")
            }
            data = node[:].tobytes() if isinstance(node, tables.Leaf) else b""
            kind = str(getattr(node, "dtype", "")), getattr(node, "shape", ())
            found[node._v_pathname] = (kind, data, attributes)
    return found


def without_checksums(found):
    """Leave what is computed of everything else out of a :func:`content`: to compare all but some of it."""
    kept = {path: node for path, node in found.items() if not path.startswith("/Checksums")}
    kept["/"][2].pop("content_sha256", None)
    return kept


def cut(source, target, size):
    """Copy the first bytes of a file."""
    Path(target).write_bytes(Path(source).read_bytes()[:size])
    return target


def calibrator_of(run, **options):
    """Return what makes the images of a run's events: its own calibrator, or ctapipe's."""
    from ctapipe.calib import CameraCalibrator

    return (getattr(run, "fast_calibrator", None) or CameraCalibrator)(subarray=run.subarray, **options)

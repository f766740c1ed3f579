"""The telescopes of ctapipe's files."""

import numpy as np

from .event_rows import column_in
from .node_names import GEOMETRY, LAYOUT, OPTICS

EFFECTIVE, EQUIVALENT = "effective_focal_length", "equivalent_focal_length"


def read_subarray(file):
    """Return the ctapipe SubarrayDescription of a file, without readouts.

    Cameras are in the frame of the effective focal length, if the file has it of all telescopes.

    file : tables.File
    """
    import astropy.units as u
    from astropy.coordinates import EarthLocation
    from ctapipe.instrument import CameraDescription, SubarrayDescription, TelescopeDescription

    layout, kinds = file.get_node(LAYOUT), {}
    positions = np.stack([column_in(layout, f"pos_{axis}", "m") for axis in "xyz"], axis=1)
    rows = layout.read()
    used = EFFECTIVE if has_effective_focal_lengths(file) else EQUIVALENT
    for row in rows:
        key = int(row["optics_index"]), int(row["camera_index"])
        if key not in kinds:
            optics = _optics(file, key[0])
            geometry = _geometry(file, key[1], getattr(optics, used))
            camera = CameraDescription(name=geometry.name, geometry=geometry, readout=None)
            kinds[key] = TelescopeDescription(row["name"].decode(), optics, camera)
    names = ("reference_itrs_x", "reference_itrs_y", "reference_itrs_z")
    place = EarthLocation.from_geocentric(*(float(layout.attrs[name]) for name in names), unit=u.m)
    return SubarrayDescription(
        "subarray",
        {int(row["tel_id"]): position * u.m for row, position in zip(rows, positions, strict=True)},
        {int(row["tel_id"]): kinds[int(row["optics_index"]), int(row["camera_index"])] for row in rows},
        reference_location=place,
    )


def has_effective_focal_lengths(file):
    """Say whether a file has the effective focal length of every telescope."""
    lengths = column_in(file.get_node(OPTICS), EFFECTIVE, "m")
    return bool(np.isfinite(lengths[file.get_node(LAYOUT).col("optics_index")]).all())


def _optics(file, index):
    import astropy.units as u
    from ctapipe.instrument import OpticsDescription

    table = file.get_node(OPTICS)
    row = table[index]
    lengths = {name: column_in(table, name, "m")[index] * u.m for name in (EQUIVALENT, EFFECTIVE)}
    return OpticsDescription(
        name=row["optics_name"].decode(),
        size_type=row["size_type"].decode(),
        n_mirrors=int(row["n_mirrors"]),
        n_mirror_tiles=int(row["n_mirror_tiles"]),
        reflector_shape=row["reflector_shape"].decode(),
        mirror_area=column_in(table, "mirror_area", "m2")[index] * u.m**2,
        **lengths,
    )


def _geometry(file, index, focal_length):
    """Return a camera's geometry in the frame of a focal length."""
    import astropy.units as u
    from astropy.coordinates import Angle
    from ctapipe.coordinates import CameraFrame
    from ctapipe.instrument import CameraGeometry

    table = file.get_node(GEOMETRY.format(index))
    return CameraGeometry(
        name=str(table.attrs.CAM_ID),
        pix_id=table.col("pix_id"),
        pix_x=column_in(table, "pix_x", "m") * u.m,
        pix_y=column_in(table, "pix_y", "m") * u.m,
        pix_area=column_in(table, "pix_area", "m2") * u.m**2,
        pix_type=str(table.attrs.PIX_TYPE),
        pix_rotation=Angle(float(table.attrs.PIX_ROT) * u.deg),
        cam_rotation=Angle(float(table.attrs.CAM_ROT) * u.deg),
        frame=CameraFrame(focal_length=focal_length),
    )

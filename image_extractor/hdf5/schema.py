"""The file's schema: node names, columns with units and descriptions, and its version.

Nothing here reads or writes; writers and readers import it.
"""

import numpy as np

#: Raise the second number when something is added, the first when a reader of old files would go wrong.
#:
#: - 1.0: first version.
#: - 1.1: Events have run_index, directions are float64; Run_Table says what was read and how, Tel_Table has both focal
#:   lengths, mirror area and own pointings; Events have tel_pointing where telescopes point elsewhere than the array.
FORMAT_VERSION = "1.1"
FORMAT_NAME = "image_extractor dataset"

TEL_TABLE = "Tel_Table"
RUN_TABLE = "Run_Table"
CAMERAS = "Cameras"
EVENTS = "Events"
SPLIT_NAMES = ("Training", "Validation", "Test")
EVENTS_TABLES = (EVENTS, *(f"{EVENTS}_{name}" for name in SPLIT_NAMES))

#: Attribute of the root of a part: {path of a group: {name of a table or image array: rows}} of what has rows, as JSON.
COUNTS = "counts"

#: Attribute of Tel_Table: which focal length ctapipe used, EFFECTIVE or EQUIVALENT.
FOCAL_LENGTH_CHOICE = "focal_length_choice"

#: Why an event of a file is not written, in the order in which it is asked; each is a column of Run_Table.
REASONS = ("not_in_dictionary", "not_gamma", "outside_energy_bins", "no_image")

#: Columns are (name, dtype, unit, description); strings are UTF-8 bytes.
EVENT_COLUMNS = [
    ("event_number", "<i8", "", "event_id: 100 * shower + use in sim_telarray"),
    ("run_number", "<i8", "", "obs_id"),
    ("gamma_hadron_label", "<i4", "", "primary: 0 gamma, 1 electron, 101 proton, 402 helium, 100 * A + Z"),
    ("core_x", "<f4", "m", "true core position, to the north"),
    ("core_y", "<f4", "m", "true core position, to the west"),
    ("h_first_int", "<f4", "m", "height of the first interaction"),
    ("mc_energy", "<f4", "TeV", "true energy"),
    ("alt", "<f8", "rad", "true altitude of the shower direction"),
    ("az", "<f8", "rad", "true azimuth of the shower direction, from north to east"),
    ("reconstructed_energy", "<f4", "TeV", "of the bins_cuts_dict; NaN without one"),
    ("run_index", "<i4", "", "row of this event's run in Run_Table"),
]
RECON_LABEL = ("energy_reconstruction_bin_label", "<i4", "", "bin of the true energy in [energy_recon] [[bins]]")
TEL_MAP_DESCRIPTION = "per row of Tel_Table: row of this event's image in T<tel_id>, -1 where it has none"
TRIG_LIST_DESCRIPTION = "per row of Tel_Table: 1 where this event has an image, else 0"

#: Column of Events, and attribute of the root, where a telescope points elsewhere than the array.
TEL_POINTING = "tel_pointing"
TEL_POINTING_DESCRIPTION = "per row of Tel_Table: where this telescope looked, azimuth and altitude; NaN: no data"

TEL_COLUMNS = [
    ("tel_id", "<i4", "", "telescope id; its images are in T<tel_id>"),
    ("tel_x", "<f4", "m", "position on the ground, to the north"),
    ("tel_y", "<f4", "m", "position on the ground, to the west"),
    ("tel_z", "<f4", "m", "position, up"),
    ("tel_type", "S16", "", "LST, MST, SCT or SST"),
    ("run_array_direction", ("<f8", (2,)), "rad", "pointing of the first run: azimuth, altitude"),
    ("camera", "S64", "", "entry of /Cameras"),
    ("optics", "S64", "", "name of the telescope"),
    ("focal_length", "<f4", "m", "equivalent focal length"),
    ("n_pixels", "<i4", "", "pixels of the camera"),
    ("effective_focal_length", "<f4", "m", "effective focal length, NaN where the file has none"),
    ("mirror_area", "<f4", "m2", "area of the mirror"),
    ("pointing", ("<f8", (2,)), "rad", "this telescope's own pointing in the first run: azimuth, altitude"),
]

RUN_COLUMNS = [
    ("file_name", "S255", "", "name of the input file"),
    ("file_size", "<i8", "", "its size in bytes"),
    ("run_number", "<i8", "", "obs_id"),
    ("primary", "<i4", "", "primary of the first shower: 0 gamma, 1 electron, 101 proton"),
    ("corsika_version", "<f8", "", "1000 * version"),
    ("simtel_version", "<f8", "", "version of sim_telarray as the file states it"),
    ("energy_range_min", "<f4", "TeV", "lower end of the simulated spectrum"),
    ("energy_range_max", "<f4", "TeV", "upper end of the simulated spectrum"),
    ("spectral_index", "<f4", "", "of the simulated spectrum"),
    ("n_showers", "<i8", "", "simulated showers"),
    ("shower_reuse", "<i8", "", "uses of each shower"),
    ("min_scatter_range", "<f4", "m", "core scatter, inner radius"),
    ("max_scatter_range", "<f4", "m", "core scatter, outer radius"),
    ("min_viewcone_radius", "<f4", "deg", "inner radius of the view cone"),
    ("max_viewcone_radius", "<f4", "deg", "outer radius of the view cone"),
    ("diffuse", "<i4", "", "1: directions fill the view cone"),
    ("pointing_az", "<f8", "rad", "array pointing, azimuth"),
    ("pointing_alt", "<f8", "rad", "array pointing, altitude"),
    ("atmosphere", "<i4", "", "number of the atmospheric model"),
    ("events_read", "<i8", "", "shower events in the file, or up to max_events written"),
    *((f"dropped_{reason}", "<i8", "", f"events not written: {reason.replace('_', ' ')}") for reason in REASONS),
    ("events_written", "<i8", "", "rows of this run in Events"),
    ("calibration_events", "<i8", "", "pedestal and flasher events passed over"),
    ("images", "<i8", "", "telescope images written"),
    ("clipped_pixels", "<i8", "", "pixels (cells, if resampled) whose charge or time did not fit the dtype"),
    ("negative_pixels", "<i8", "", "pixels (cells, if resampled) of negative charge, stored as 0 by an unsigned dtype"),
    ("negative_time_pixels", "<i8", "", "pixels (cells, if resampled) of peak time below 0, stored as 0 likewise"),
    ("not_finite_pixels", "<i8", "", "pixels (cells, if resampled) whose charge or time is not finite"),
    ("bins_cuts_dict", "S255", "", "name of the dictionary file"),
    ("bins_cuts_dict_sha256", "S64", "", "its SHA-256"),
    ("file_digest", "S64", "", "SHA-256 of the input's size, first and last MiB"),
    ("max_events", "<i8", "", "events written of this file, at most; 0: all"),
    ("complete", "|u1", "", "1: the run was there to its end; 0: its file is cut, its whole events were kept"),
    ("showers_read", "<i8", "", "simulated showers read, up to the last event written if max_events ended it"),
    ("uses_read", "<i8", "", "uses of these showers (core positions) read, so many events were simulated"),
    (
        "core_pos_mode",
        "<i4",
        "",
        "core scatter: 0 fixed, 1 circle, 2 rectangle of half widths min and max, -1 weighted",
    ),
    ("tracking_mode", "<i4", "", "0: the telescopes point to a fixed azimuth and altitude"),
]

CAMERA_COLUMNS = [
    ("pixel_id", "<i4", "", "index in the camera's pixel vector"),
    ("pix_x", "<f8", "m", "pixel position in the camera frame"),
    ("pix_y", "<f8", "m", "pixel position in the camera frame"),
    ("pix_area", "<f8", "m2", "area of the pixel"),
    ("array_x", "<i4", "", "cell of the pixel (of its centre) along axis 0, at scale_factor 1"),
    ("array_y", "<i4", "", "cell of the pixel (of its centre) along axis 1, at scale_factor 1"),
]


def has_run_index(file):
    """Say whether the events of an open dataset name their run: those of format 1.0 do not."""
    return str(file.root._v_attrs["format_version"]) != "1.0"


def image_name(tel_id):
    """Return the name of a telescope's images, array or column."""
    return f"T{tel_id}"


def energy_groups(settings, n_bins):
    """Return the names of the groups that hold Events: one per bin in gh_class, else the root."""
    return [f"E{i}" for i in range(n_bins)] if settings["mode"] == "gh_class" else [""]


def dtype(columns):
    """Return the structured dtype of a list of columns."""
    return np.dtype([(name, *kind) if isinstance(kind, tuple) else (name, kind) for name, kind, *_ in columns])


def event_columns(settings, shapes, own_pointing=False):
    """Return the columns of Events for these settings.

    shapes : {tel_id: shape of its images as stored} of the selected telescopes, ascending
    own_pointing : bool
        Whether telescopes look elsewhere than their array.
    """
    n_tel = len(shapes)
    columns = list(EVENT_COLUMNS)
    if settings["mode"] == "energy_recon":
        columns.append(RECON_LABEL)
    if own_pointing:
        columns.append((TEL_POINTING, ("<f8", (n_tel, 2)), "rad", TEL_POINTING_DESCRIPTION))
    if settings["storage_mode"] == "mapped":
        return [*columns, ("tel_map", ("<i4", (n_tel,)), "", TEL_MAP_DESCRIPTION)]
    columns.append(("trig_list", ("<u1", (n_tel,)), "", TRIG_LIST_DESCRIPTION))
    image_settings = settings["image"]
    for tel_id, shape in shapes.items():
        kind = (np.dtype(image_settings["dtype"]), shape)
        columns.append((image_name(tel_id), kind, "", f"image of telescope {tel_id}, zeros where it has none"))
    return columns


def described(dtype):
    """Return the columns of a dtype of Events: with the units and descriptions that they have."""
    known = {name: (unit, text) for name, _, unit, text in (*EVENT_COLUMNS, RECON_LABEL)}
    known |= {
        "tel_map": ("", TEL_MAP_DESCRIPTION),
        "trig_list": ("", TRIG_LIST_DESCRIPTION),
        TEL_POINTING: ("rad", TEL_POINTING_DESCRIPTION),
    }
    for name in dtype.names:
        unit, text = known.get(name) or ("", f"image of telescope {name[1:]}, zeros where it has none")
        yield name, dtype[name], unit, text


def column_attributes(columns):
    """Return the table attributes that carry units and descriptions, in ctapipe's convention."""
    attributes = {}
    for position, (name, kind, unit, description) in enumerate(columns):
        prefix = f"CTAFIELD_{position}_"
        attributes[prefix + "NAME"] = name
        attributes[prefix + "DESC"] = description
        if unit:
            attributes[prefix + "UNIT"] = unit
        if isinstance(kind, str) and kind.startswith("S"):
            attributes[prefix + "TRANSFORM"] = "string"
            attributes[prefix + "MAXLEN"] = int(kind[1:])
    return attributes

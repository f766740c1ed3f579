"""The file's schema: node names, columns with units and descriptions, and its version.

Nothing here reads or writes; writers and readers import it.
"""

import numpy as np

from ..parameters import columns as parameters
from ..telescopes import TYPES

#: Raise the second number when something is added, the first when a reader of old files would go wrong.
#:
#: - 1.0: first version.
#: - 1.1: Events have run_index, directions are float64; Run_Table says what was read and how, Tel_Table has both focal
#:   lengths, mirror area and own pointings; Events have tel_pointing where telescopes point elsewhere than the array.
#: - 1.2: Events have x_max, the true direction around the array's pointing, and this; image parameters (P<tel_id>)
#:   where they are asked for; Run_Table counts images by telescope type, and those that [image_cuts] leave out.
#: - 1.3: datasets of observed events, which have a time and no truth; the root tells the kind; Run_Table counts by type
#:   what was passed over.
#: - 1.4: checksums of rows and nodes, see the room checksums, and content_sha256.
FORMAT_VERSION = "1.4"
FORMAT_NAME = "image_extractor dataset"

TEL_TABLE = "Tel_Table"
RUN_TABLE = "Run_Table"
CAMERAS = "Cameras"
CHECKSUMS = "Checksums"
EVENTS = "Events"
SPLIT_NAMES = ("Training", "Validation", "Test")
EVENTS_TABLES = (EVENTS, *(f"{EVENTS}_{name}" for name in SPLIT_NAMES))

#: Attribute of the root: whether events were simulated or observed. Older files have none: all are simulated.
KIND = "kind"
SIMULATED, OBSERVED = "simulated", "observed"
KINDS = {SIMULATED: "simulated", OBSERVED: "observed data"}

#: The primary of observed events, and whole numbers of simulations that their runs do not have.
NO_PRIMARY = NOT_SIMULATED = -1

#: Attribute of the root of a part: {path of a group: {name of a table or image array: rows}} of what has rows, as JSON.
COUNTS = "counts"

#: Attribute of the root: over all its other attributes and all checksums, 16 hexadecimal digits.
CHECKSUM = "checksum"

#: Attribute of Events with image parameters: in `all` storage names of the numbers in P<tel_id>, joined by commas, else
#: what their tables are called; a telescope without an image in a group has none there.
PARAMETERS = "parameters"

#: Attribute of Tel_Table: which focal length ctapipe used, EFFECTIVE or EQUIVALENT.
FOCAL_LENGTH_CHOICE = "focal_length_choice"

#: Why an event of a file is not written, in the order in which it is asked; each is a column of Run_Table.
REASONS = (
    "not_in_dictionary",
    "not_gamma",
    "outside_energy_bins",
    "true_energy",
    "true_offset",
    "no_trigger",
    "no_image",
    "too_few_images",
)

#: What may trigger a telescope array besides showers, in the order of the counts of events that were passed over:
#: ctapipe's EventTypes, but SUBARRAY; unknown are also those that later versions of ctapipe may have.
EVENT_TYPES = (
    "flatfield",
    "single_pe",
    "pedestal",
    "dark_pedestal",
    "electronic_pedestal",
    "sky_pedestal",
    "other_calibration",
    "muon",
    "hardware_stereo",
    "random_mono",
    "daq",
    "long_event",
    "unknown",
)
#: Of these, the first are calibration events.
CALIBRATION_TYPES = EVENT_TYPES[: EVENT_TYPES.index("other_calibration") + 1]

#: What counts by telescope type are of, in their order; other is ctapipe's type of a telescope that is none of these.
COUNTED_TYPES = (*TYPES, "other")

#: Columns are (name, dtype, unit, description); strings are UTF-8 bytes.
EVENT_COLUMNS = [
    ("event_number", "<i8", "", "event_id: 100 * shower + use in sim_telarray"),
    ("run_number", "<i8", "", "obs_id"),
    ("gamma_hadron_label", "<i4", "", "primary: 0 gamma, 1 electron, 101 proton, 402 helium, 100 * A + Z; -1 observed"),
    ("core_x", "<f4", "m", "true core position, to the north"),
    ("core_y", "<f4", "m", "true core position, to the west"),
    ("h_first_int", "<f4", "m", "height of the first interaction"),
    ("mc_energy", "<f4", "TeV", "true energy"),
    ("alt", "<f8", "rad", "true altitude of the shower direction"),
    ("az", "<f8", "rad", "true azimuth of the shower direction, from north to east"),
    ("reconstructed_energy", "<f4", "TeV", "of the bins_cuts_dict; NaN without one"),
    ("x_max", "<f4", "g/cm2", "depth of the shower maximum in the atmosphere"),
    ("fov_lon", "<f8", "deg", "true direction, longitude around the array's pointing, as in ctapipe's TelescopeFrame"),
    ("fov_lat", "<f8", "deg", "true direction, latitude around the array's pointing, likewise"),
    ("pointing_az", "<f8", "rad", "array pointing, azimuth; of an array that tracks the sky, that of this event"),
    ("pointing_alt", "<f8", "rad", "array pointing, altitude, likewise"),
    ("run_index", "<i4", "", "row of this event's run in Run_Table"),
]
#: Of these, what only a simulation knows: NaN of observed events, which have NO_PRIMARY.
TRUTH_COLUMNS = ("core_x", "core_y", "h_first_int", "mc_energy", "alt", "az", "x_max", "fov_lon", "fov_lat")
RECON_LABEL = ("energy_reconstruction_bin_label", "<i4", "", "bin of the true energy in [energy_recon] [[bins]]")
#: Column of observed events. UTC would repeat its numbers in a leap second; TAI never does.
TIME = ("time", "<i8", "ns", "trigger time, TAI since 1970-01-01T00:00:00 TAI; -2**63: not known")
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
    ("cleaning_picture", "<f8", "", "threshold of the cleaning, p.e.; NaN where none was asked for"),
    ("cleaning_boundary", "<f8", "", "threshold for neighbours, p.e.; NaN likewise"),
    ("cleaning_neighbours", "<i4", "", "neighbours above picture that a pixel needs; -1 likewise"),
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
    ("calibration_events", "<i8", "", "pedestal and flasher events passed over, all of passed_over that calibrate"),
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
    *(
        (name, ("<i8", (len(COUNTED_TYPES),)), "", f"{what}, of {', '.join(COUNTED_TYPES)}")
        for name, what in (
            ("images_calibrated", "telescope images of events that passed what is asked before"),
            ("images_dropped", "of these, images that passed [image_cuts] of events that then had too few"),
            ("images_written", "of these, images written"),
        )
    ),
    ("passed_over", ("<i8", (len(EVENT_TYPES),)), "", f"events that are no showers, by type: {', '.join(EVENT_TYPES)}"),
]

#: Columns of Run_Table for what [image_cuts] leave out begin with this, then comes the parameter.
IMAGES_CUT = "images_cut_"

CAMERA_COLUMNS = [
    ("pixel_id", "<i4", "", "index in the camera's pixel vector"),
    ("pix_x", "<f8", "m", "pixel position in the camera frame"),
    ("pix_y", "<f8", "m", "pixel position in the camera frame"),
    ("pix_area", "<f8", "m2", "area of the pixel"),
    ("array_x", "<i4", "", "cell of the pixel (of its centre) along axis 0, at scale_factor 1"),
    ("array_y", "<i4", "", "cell of the pixel (of its centre) along axis 1, at scale_factor 1"),
]


def node_checksum_columns(width):
    """Return the columns of the table of nodes and their checksums; `width` is that of the longest path."""
    return [
        ("path", f"S{width}", "", "group, table or array; its blocks follow those of the one before"),
        ("n_rows", "<i8", "", "its rows"),
        ("block_rows", "<i4", "", "rows of a block; the last may be smaller"),
        ("description", "<u8", "", "checksum of its type, attributes, storage and the names of its children"),
        ("content", "<u8", "", "checksum of its type and user attributes"),
    ]


def has_run_index(file):
    """Say whether the events of an open dataset name their run: those of format 1.0 do not."""
    return str(file.root._v_attrs["format_version"]) != "1.0"


def has_checksums(file):
    """Say whether an open dataset should have checksums: older formats had none."""
    return tuple(map(int, str(file.root._v_attrs["format_version"]).split("."))) >= (1, 4)


def kind(file):
    """Return whether the events of an open dataset were SIMULATED or OBSERVED."""
    return str(getattr(file.root._v_attrs, KIND, SIMULATED))


def image_name(tel_id):
    """Return the name of a telescope's images, array or column."""
    return f"T{tel_id}"


def parameters_name(tel_id):
    """Return the name of the parameters of a telescope's images, table or column."""
    return f"P{tel_id}"


def run_columns(names):
    """Return the columns of Run_Table.

    names : iterable of str
        Of parameters in [image_cuts], or of columns of a Run_Table.
    """
    cut = [name.removeprefix(IMAGES_CUT) for name in names if name.startswith(IMAGES_CUT) or name in parameters.NAMES]
    kind = ("<i8", (len(COUNTED_TYPES),))
    others = ", ".join(COUNTED_TYPES)
    texts = [f"images not stored: {name} outside [image_cuts], of {others}" for name in cut]
    return [*RUN_COLUMNS, *((IMAGES_CUT + name, kind, "", text) for name, text in zip(cut, texts, strict=True))]


def energy_groups(settings, n_bins):
    """Return the names of the groups that hold Events: one per bin in gh_class, else the root."""
    return [f"E{i}" for i in range(n_bins)] if settings["mode"] == "gh_class" else [""]


def dtype(columns):
    """Return the structured dtype of a list of columns."""
    return np.dtype([(name, *kind) if isinstance(kind, tuple) else (name, kind) for name, kind, *_ in columns])


def event_columns(settings, shapes, own_pointing=False, is_observed=False):
    """Return the columns of Events for these settings.

    shapes : {tel_id: shape of its images as stored} of the selected telescopes, ascending
    own_pointing : bool
        Whether telescopes look elsewhere than their array.
    is_observed : bool
    """
    n_tel = len(shapes)
    columns = [*EVENT_COLUMNS, *([TIME] if is_observed else [])]
    if settings["mode"] == "energy_recon":
        columns.append(RECON_LABEL)
    if own_pointing:
        columns.append((TEL_POINTING, ("<f8", (n_tel, 2)), "rad", TEL_POINTING_DESCRIPTION))
    if settings["storage_mode"] == "mapped":
        return [*columns, ("tel_map", ("<i4", (n_tel,)), "", TEL_MAP_DESCRIPTION)]
    columns.append(("trig_list", ("<u1", (n_tel,)), "", TRIG_LIST_DESCRIPTION))
    image_settings = settings["image"]
    for tel_id, shape in shapes.items():
        kind, name = (np.dtype(image_settings["dtype"]), shape), image_name(tel_id)
        columns.append((name, kind, *_described(name)))
    if settings["parameters"]["store"]:
        kind = ("<f4", (len(parameters.NAMES),))
        columns += [(parameters_name(tel_id), kind, *_described(parameters_name(tel_id))) for tel_id in shapes]
    return columns


def _described(name):
    """Return unit and description of a telescope's column T<tel_id> or P<tel_id>."""
    what = "image" if name[0] == "T" else f"parameters (attribute {PARAMETERS})"
    return "", f"{what} of telescope {name[1:]}, {'zeros' if name[0] == 'T' else 'NaN'} where it has none"


def described(dtype):
    """Return the columns of a dtype of Events: with the units and descriptions that they have."""
    known = {name: (unit, text) for name, _, unit, text in (*EVENT_COLUMNS, RECON_LABEL, TIME)}
    known |= {
        "tel_map": ("", TEL_MAP_DESCRIPTION),
        "trig_list": ("", TRIG_LIST_DESCRIPTION),
        TEL_POINTING: ("rad", TEL_POINTING_DESCRIPTION),
    }
    for name in dtype.names:
        unit, text = known.get(name) or _described(name)
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

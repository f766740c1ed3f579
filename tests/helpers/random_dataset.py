"""Datasets of random numbers, every image different, and what plain PyTables reads from them."""

from pathlib import Path

import numpy as np
import tables

from image_extractor import config, core_positions
from image_extractor.hdf5 import dataset_files, nodes, schema
from image_extractor.mapping import images

TEL_IDS = (2, 5, 9)
N_EVENTS = 60
SHAPE = (4, 3)

VARIANTS = {
    "mapped": {},
    "all": {"storage_mode": "all"},
    "mapped compressed": {"output_compression": "zstd"},
    "all compressed": {"storage_mode": "all", "output_compression": "lz4"},
    "energy_recon": {"mode": "energy_recon"},
    "energy_recon all": {"mode": "energy_recon", "storage_mode": "all"},
    "channels_first": {"image_dim_order": "channels_first"},
    "all channels_first": {"storage_mode": "all", "image_dim_order": "channels_first"},
    "different scales": {"image_time_scale": 25.0, "image_dtype": "int16"},
    "32 bits": {"image_dtype": "uint32", "image_charge_scale": 1000.0},
    "float32": {"image_dtype": "float32"},
}


def made_settings(**keywords):
    defaults = {
        "mode": "gh_class",
        "storage_mode": "mapped",
        "use_pkl_dict": False,
        "image_mode": "PIXELS_TIMING_3C",
        "image_dtype": "uint16",
        "image_scale_factor": 1,
        "output_compression": "none",
        "energy_bins_min": -1.0,
        "energy_bins_max": 1.0,
        "energy_bins_bin_size": 1.0,
        "energy_recon_bins_min": -1.0,
        "energy_recon_bins_max": 1.0,
        "energy_recon_bins_bin_size": 1.0,
    }
    return config.from_keywords(defaults | keywords)


def write_dataset(path, seed=0, n_events=N_EVENTS, run=1, primary=0, tel_ids=TEL_IDS, cone=(0.0, 0.0), **keywords):
    """Write a dataset of random numbers with the package's own nodes: every image is different."""
    made = made_settings(**keywords)
    random = np.random.default_rng(seed)
    grid = images.PixelGrid(SHAPE, np.arange(12) // 3, np.arange(12) % 3, 0.0, np.arange(12.0), np.arange(12.0))
    grids = dict.fromkeys(tel_ids, grid)
    columns = schema.event_columns(made, {tel_id: images.array_shape(grid, made["image"]) for tel_id in grids})
    bins = config.energy_bins(made)
    events = np.zeros(n_events, schema.dtype(columns))
    events["run_number"], events["gamma_hadron_label"] = run, primary
    events["event_number"] = 100 * np.repeat(np.arange(n_events), 3)[:n_events] + np.arange(n_events) % 3
    for name, low, high in (("core_x", -300, 300), ("core_y", -300, 300), ("az", -3, 3), ("alt", 1, 1.5)):
        events[name] = random.uniform(low, high, n_events)
    events["mc_energy"] = 10 ** random.uniform(-1, 1, n_events)
    energy_bin = bins.find(events["mc_energy"])
    has = random.random((n_events, len(tel_ids))) < 0.6
    has[::7] = False  # events without any of the telescopes
    image = made["image"]
    attributes = {
        key if key != "mode" else "image_mode": value
        for key, value in image.items()
        if key not in ("shape", "shape_of", "mapping_of")
    }
    if image["dtype"] == "float32":
        attributes |= {"charge_scale": 1.0, "time_scale": 1.0}
    filters = nodes.filters(made["output"]["compression"])
    with dataset_files.open_file(path, "w") as file:
        nodes.set_attributes(
            file.root,
            {"format": schema.FORMAT_NAME, "format_version": schema.FORMAT_VERSION, "config": config.dumps(made)},
        )
        tel_table = np.zeros(len(tel_ids), schema.dtype(schema.TEL_COLUMNS))
        tel_table["tel_id"], tel_table["tel_type"], tel_table["camera"] = tel_ids, b"LST", b"LSTCam"
        tel_table["tel_type"][-1], tel_table["camera"][-1] = b"MST", b"NectarCam"
        for axis in ("tel_x", "tel_y", "tel_z"):
            tel_table[axis] = random.uniform(-100, 100, len(tel_ids))
        nodes.create_table(file, "/", "Tel_Table", tel_table.dtype, filters, {}).append(tel_table)
        for name in ("LSTCam", "NectarCam"):
            camera = {"mapping": image["mapping"]}
            nodes.create_table(file, "/Cameras", name, np.dtype([("pixel_id", "<i4")]), filters, camera)
        row = np.zeros(1, schema.dtype(schema.RUN_COLUMNS))
        for name, value in (
            ("file_name", b"run.simtel"),
            ("run_number", run),
            ("primary", primary),
            ("energy_range_min", 0.1),
            ("energy_range_max", 10.0),
            ("spectral_index", -2.0),
            ("n_showers", 1000),
            ("shower_reuse", 3),
            ("max_scatter_range", 500.0),
            ("core_pos_mode", core_positions.CORE_CIRCLE),
            ("min_viewcone_radius", cone[0]),
            ("max_viewcone_radius", cone[1]),
            ("events_written", n_events),
        ):
            row[name] = value
        nodes.create_table(file, "/", "Run_Table", row.dtype, filters, {}).append(row)
        recon = made["mode"] == "energy_recon"
        if recon:
            events["energy_reconstruction_bin_label"] = energy_bin
            nodes.set_attributes(file.root, {"energy_bin_edges": bins.edges})
        for number, group in enumerate(schema.energy_groups(made, bins.n_bins)):
            chosen = slice(None) if recon else energy_bin == number
            write_group(file, f"/{group}", events[chosen], has[chosen], grids, made, attributes, filters, random)
    return Path(path)


def write_group(file, path, events, has, grids, made, attributes, filters, random):
    image = made["image"]
    mapped = made["storage_mode"] == "mapped"
    if mapped:
        events["tel_map"] = -1
    else:
        events["trig_list"] = has
    for position, (tel_id, grid) in enumerate(grids.items()):
        shape = images.array_shape(grid, image)
        n = int(has[:, position].sum())
        high = 1000 if image["dtype"] == "float32" else min(np.iinfo(image["dtype"]).max, 2**31)
        stored = random.uniform(0, high, (n, *shape)).astype(image["dtype"])
        if mapped:
            array = nodes.create_image_array(
                file, path, schema.image_name(tel_id), image["dtype"], shape, filters, attributes
            )
            array.append(stored)
            # shuffled, as the tables of a dataset are
            events["tel_map"][has[:, position], position] = random.permutation(n)
        else:
            events[schema.image_name(tel_id)][has[:, position]] = stored
    nodes.create_table(file, path, "Events", events.dtype, filters, attributes).append(events)


def write_pixels(path, **keywords):
    """Write a random dataset whose cameras say where their pixels are."""
    write_dataset(path, **keywords)
    with tables.open_file(path, "a") as file:
        for name in ("LSTCam", "NectarCam"):
            mapping = file.root.Cameras._f_get_child(name)._v_attrs["mapping"]
            file.remove_node(f"/Cameras/{name}")
            rows = np.zeros(9, schema.dtype(schema.CAMERA_COLUMNS))
            rows["pixel_id"], rows["array_x"], rows["array_y"] = np.arange(9), np.arange(9) // 3, np.arange(9) % 3
            table = file.create_table("/Cameras", name, obj=rows)
            for key, value in {
                "mapping": mapping, "pixel_shape": "square", "array_shape": np.array([4, 3], np.int32), "scale_factor": 1,
            }.items():  # fmt: skip
                table._v_attrs[key] = value
    return path


def plain_images(path, table="Events"):
    """Return {(obs_id, event_id, primary, tel_id): image} as PyTables reads them, (x, y, channel), scales undone."""
    found = {}
    with tables.open_file(str(path)) as file:
        tel_ids = file.root.Tel_Table.col("tel_id").tolist()
        for group in [file.root.E0, file.root.E1] if "E0" in file.root else [file.root]:
            node = group._f_get_child(table)
            attributes = node._v_attrs
            scales = np.array([attributes["charge_scale"], attributes["time_scale"], 1.0])
            for row in node[:]:
                for position, tel_id in enumerate(tel_ids):
                    image = plain_image(group, row, position, tel_id)
                    if image is None:
                        continue
                    if attributes["dim_order"] == "channels_first":
                        image = np.moveaxis(image, 0, -1)
                    key = row["run_number"], row["event_number"], row["gamma_hadron_label"], tel_id
                    found[tuple(map(int, key))] = (image.astype(np.float64) / scales).astype(np.float32)
    return found


def plain_image(group, row, position, tel_id):
    if "tel_map" in row.dtype.names:
        place = row["tel_map"][position]
        return None if place < 0 else group._f_get_child(f"T{tel_id}")[int(place)]
    return row[f"T{tel_id}"] if row["trig_list"][position] else None


def keys_of(batch):
    columns = (batch[name] for name in ("obs_id", "event_id", "primary", "tel_id"))
    return list(zip(*(column.tolist() for column in columns), strict=True))


def assert_batch(batch, expected):
    """Check that the images of a batch are those that its labels name."""
    for image, key in zip(batch["image"], keys_of(batch), strict=True):
        assert image.flags.c_contiguous
        np.testing.assert_array_equal(image, expected[key])

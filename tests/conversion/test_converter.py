"""The main promise: what is stored is what ctapipe computes, to the last pixel."""

import numpy as np
import pytest
import tables
from helpers.reading import SCALARS, dl1_events, read_dataset
from helpers.real_files import REAL_FILES

from image_extractor import ImageExtractor
from image_extractor.demo import write_demo_file


def expected(values, dtype, scale):
    """Return what is to be stored, and what was clipped."""
    if dtype == "float32":
        return values, np.zeros(values.shape, bool)
    limits = np.iinfo(dtype)
    counts = np.round(values.astype(np.float64) * scale)
    return np.clip(counts, limits.min, limits.max), (counts > limits.max) | ((counts < limits.min) & (limits.min < 0))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", ["demo", *REAL_FILES])
@pytest.mark.parametrize(
    ("storage_mode", "mode", "dtype", "mapping", "scale_factor", "dim_order"),
    [
        ("mapped", "gh_class", "uint16", "shifting", 1, "channels_last"),
        ("all", "gh_class", "float32", "axial", 2, "channels_first"),
        ("mapped", "energy_recon", "float32", "axial", 3, "channels_first"),
        ("all", "energy_recon", "int32", "shifting", 1, "channels_last"),
    ],
)
def test_stored_images_are_ctapipes(
    name, storage_mode, mode, dtype, mapping, scale_factor, dim_order, all_cameras, real, convert, make_config
):
    path = all_cameras if name == "demo" else real(name)
    config = make_config(
        storage_mode=storage_mode,
        mode=mode,
        image_mode="PIXELS_TIMING_3C",
        image_dtype=dtype,
        image_mapping=mapping,
        image_scale_factor=scale_factor,
        image_dim_order=dim_order,
        telescope_type_mode=REAL_FILES.get(name, "ALL"),
        energy_recon_gamma_only=False,
        energy_recon_bins_min=-3,
        energy_recon_bins_max=4,
    )
    output = convert(path, config)
    stored = {event["event_number"]: event for event in read_dataset(output)}
    n_clipped = n_images = n_events = 0
    for _, event in dl1_events(path):
        row = stored.pop(event.index.event_id)
        check_truth(row, event)
        assert set(row["pixels"]) == set(event.dl1.tel)
        for tel_id, dl1 in event.dl1.tel.items():
            charge, charge_clipped = expected(dl1.image, dtype, 100)
            time, time_clipped = expected(dl1.peak_time, dtype, 100)
            assert np.array_equal(row["pixels"][tel_id], [charge, time, np.zeros_like(charge)])
            n_clipped += np.count_nonzero(charge_clipped | time_clipped)
            n_images += 1
        n_events += 1
    assert not stored
    with tables.open_file(output) as file:
        run = file.root.Run_Table[0]
        assert (run["events_read"], run["events_written"], run["images"]) == (n_events, n_events, n_images)
        assert run["clipped_pixels"] == n_clipped


def check_truth(row, event):
    shower = event.simulation.shower
    truth = (
        event.index.event_id, event.index.obs_id, shower.shower_primary_id,
        shower.core_x.to_value("m"), shower.core_y.to_value("m"), shower.h_first_int.to_value("m"),
        shower.energy.to_value("TeV"), shower.alt.to_value("rad"), shower.az.to_value("rad"), np.nan,
    )  # fmt: skip
    np.testing.assert_array_equal([row[name] for name in SCALARS], np.array(truth, dtype=object).astype(np.float64))
    if "energy_reconstruction_bin_label" in row:
        assert row["energy_reconstruction_bin_label"] == int((np.log10(float(shower.energy.value)) + 3) / 0.05)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("dtype", ["float32", "uint16", "int16", "uint32"])
def test_what_does_not_fit_is_counted(dtype, all_cameras, convert, make_config, capsys):
    """Charges beyond the end of 16 bits; charges and times below 0, which float32 and int16 keep."""
    config = make_config(telescope_type_mode="ALL", image_mode="PIXELS_TIMING_2C", image_dtype=dtype)
    images = [(dl1.image, dl1.peak_time) for _, event in dl1_events(all_cameras) for dl1 in event.dl1.tel.values()]
    values = [np.concatenate(kind) for kind in zip(*images, strict=True)]
    n_clipped = sum(np.count_nonzero(expected(kind, dtype, 100)[1]) for kind in values)
    below = [np.count_nonzero(np.round(100.0 * kind) < 0) if dtype[0] == "u" else 0 for kind in values]
    assert (n_clipped > 0) == ("16" in dtype)
    assert (min(below) > 0) == (dtype[0] == "u")
    with tables.open_file(convert(all_cameras, config)) as file:
        run = file.root.Run_Table[0]
        assert [run["clipped_pixels"], run["negative_pixels"], run["negative_time_pixels"]] == [n_clipped, *below]
        assert run["not_finite_pixels"] == 0
    said = capsys.readouterr().out
    assert (f"clipped pixels: {n_clipped};" in said) == ("clipped pixels" in said) == (n_clipped > 0)
    assert (
        (f"pixels of negative charge: {below[0]}, stored as 0" in said) == ("negative charge" in said) == (below[0] > 0)
    )
    assert (f"pixels of negative peak time: {below[1]}, stored as 0" in said) == (below[1] > 0)


def test_bright_pixel_is_clipped_and_counted(real, convert, make_config, capsys):
    """history_meta_75 has pixels beyond 655.35 p.e.: in telescope 1 a single one, of 659.56."""
    settings = {"image_mode": "PIXELS_1C", "telescope_type_mode": "LST", "telescope_tel_ids": [1]}
    config = make_config(**settings, image_dtype="uint16")
    (event,) = read_dataset(convert(real("history_meta_75.simtel.zst"), config))
    assert event["pixels"][1].max() == 65535
    assert "clipped pixels: 1;" in capsys.readouterr().out
    config = make_config(**settings, image_dtype="uint32")
    (event,) = read_dataset(convert(real("history_meta_75.simtel.zst"), config, output="uint32.h5"))
    assert event["pixels"][1].max() == 65956
    assert "clipped pixels" not in capsys.readouterr().out


def test_negative_charges_are_kept_or_counted(real, convert, make_config, capsys):
    """More than half of the pixels of a faint event are negative: float32, the default, keeps them, uint16 can't."""
    path = real("gamma_prod6_tel_event_header_v4.simtel.zst")
    settings = {"image_mode": "PIXELS_TIMING_2C", "telescope_type_mode": "LST+MST", "image_scale_factor": 1}
    images = [(dl1.image, dl1.peak_time) for _, event in dl1_events(path) for dl1 in event.dl1.tel.values()]
    charges, times = (np.concatenate(values) for values in zip(*images, strict=True))

    output = convert(path, make_config(**settings))
    (event,) = read_dataset(output)
    total = sum(pixels[0].sum(dtype=np.float64) for pixels in event["pixels"].values())
    assert total == pytest.approx(charges.sum(dtype=np.float64), abs=0.01)
    assert total == pytest.approx(303.64, abs=0.01)
    assert "pixels of negative" not in capsys.readouterr().out
    with tables.open_file(output) as file:
        run = file.root.Run_Table[0]
        assert (run["negative_pixels"], run["negative_time_pixels"], run["not_finite_pixels"]) == (0, 0, 0)

    for dtype in ("uint16", "int16"):
        output = convert(path, make_config(**settings, image_dtype=dtype), output=f"{dtype}.h5")
        (event,) = read_dataset(output)
        total = sum(pixels[0].sum(dtype=np.float64) for pixels in event["pixels"].values()) / 100
        assert total == pytest.approx(6682 if dtype == "uint16" else 303.6, abs=2)
        n_charges, n_times = (np.count_nonzero(np.round(100.0 * values) < 0) for values in (charges, times))
        assert n_charges == pytest.approx(0.57 * len(charges), rel=0.01)
        assert n_times > 0
        said = capsys.readouterr().out
        assert (f"pixels of negative charge: {n_charges}, stored as 0" in said) == (dtype == "uint16")
        assert (f"pixels of negative peak time: {n_times}, stored as 0" in said) == (dtype == "uint16")
        with tables.open_file(output) as file:
            run = file.root.Run_Table[0]
            counted = run["negative_pixels"], run["negative_time_pixels"]
            assert counted == ((n_charges, n_times) if dtype == "uint16" else (0, 0))
            assert run["clipped_pixels"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["demo", "gamma_prod6_tel_event_header_v4.simtel.zst"])
def test_negative_cells_are_counted_where_pixels_are_resampled(name, production, real, convert, make_config):
    settings = {"image_mode": "PIXELS_1C", "telescope_type_mode": "ALL", "image_scale_factor": 2}
    settings |= {"image_mapping": "rebinning", "storage_mode": "mapped", "image_charge_scale": 100.0}
    path, n_cells = production[0] if name == "demo" else real(name), {}
    for dtype in ("float32", "uint16"):
        output = convert(path, make_config(**settings, image_dtype=dtype), output=f"{dtype}.h5")
        with tables.open_file(output) as file:
            images = [node[:, ::2, ::2] for node in file.walk_nodes("/", "EArray") if node.nrows]
            n_cells[dtype] = sum(np.count_nonzero(np.round(100.0 * image) < 0) for image in images)
            stated = file.root.Run_Table[0]["negative_pixels"]
    assert stated == n_cells["float32"] > 0


@pytest.mark.parametrize("name", ["demo", "history_meta_75.simtel.zst"])
def test_telescopes_and_runs_are_described(name, all_cameras, real, convert, make_config):
    from ctapipe.io import read_table

    path = all_cameras if name == "demo" else real(name)
    output = convert(path, make_config(telescope_type_mode="ALL", image_scale_factor=1))
    source, event = next(dl1_events(path))
    table = read_table(output, "/Tel_Table")
    assert table["tel_id"].tolist() == list(source.subarray.tel)
    positions = np.stack([table[axis].quantity.to_value("m") for axis in ("tel_x", "tel_y", "tel_z")], axis=1)
    assert table["focal_length"].unit == "m"
    for row, position in zip(table, positions, strict=True):
        telescope = source.subarray.tel[row["tel_id"]]
        np.testing.assert_array_equal(
            position, source.subarray.positions[row["tel_id"]].to_value("m").astype(np.float32)
        )
        assert row["camera"] == telescope.camera.name
        assert row["focal_length"] == np.float32(telescope.optics.equivalent_focal_length.to_value("m"))
    simulation = source.simulation_config[event.index.obs_id]
    runs = read_table(output, "/Run_Table")
    run = runs[0]
    assert runs["energy_range_max"].unit == "TeV"
    assert run["file_name"] == path.name
    assert run["file_size"] == path.stat().st_size
    assert run["energy_range_max"] == np.float32(simulation.energy_range_max.to_value("TeV"))
    assert run["n_showers"] == simulation.n_showers
    assert run["max_scatter_range"] == np.float32(simulation.max_scatter_range.to_value("m"))
    events = read_table(output, "/E0/Events")
    assert events["mc_energy"].unit == "TeV"
    assert events["core_x"].quantity[0] == event.simulation.shower.core_x
    camera = read_table(output, "/Cameras/LSTCam")
    assert np.array_equal(camera["pix_x"], source.subarray.tel[1].camera.geometry.pix_x)


@pytest.mark.parametrize("name", ["demo", "gct_checs_muons.simtel.zst"])
def test_extractor_is_the_configured_one(name, production, real, convert, make_config):
    path = production[1] if name == "demo" else real(name)
    config = make_config(
        storage_mode="mapped", image_dtype="float32", telescope_type_mode="SST", calibration_extractor="FixedWindowSum"
    )  # fmt: skip
    stored = {event["event_number"]: event for event in read_dataset(convert(path, config, "--max_events", 3))}
    assert len(stored) == 3
    for _, event in dl1_events(path, "FixedWindowSum"):
        for tel_id, pixels in stored.get(event.index.event_id, {"pixels": {}})["pixels"].items():
            assert np.array_equal(pixels[0], event.dl1.tel[tel_id].image)


@pytest.mark.parametrize("name", ["demo", "gct_checs_muons.simtel.zst"])
def test_class_is_used_from_python(name, real, tmp_path):
    """The example of the first README: positional arguments, then process, shuffle, split."""
    from image_extractor import image_extractor

    if name == "demo":
        path = tmp_path / "one_telescope.simtel"
        write_demo_file(path, events=12, telescopes="SSTC:1", scatter=100)
    else:
        path = real(name)
    output = tmp_path / "dataset.h5"
    settings = {"storage_mode": "mapped", "telescope_type_mode": "SST", "energy_bins_min": -3, "energy_bins_max": 4}
    extractor = image_extractor.ImageExtractor(
        output, None, "gh_class", use_pkl_dict=False, energy_bins_bin_size=7, **settings
    )
    assert image_extractor.ImageExtractor is ImageExtractor
    selected, n_telescopes = extractor.select_telescopes(path)
    assert (selected, n_telescopes) == ({"SST": [1]}, 1)
    report = extractor.process_data(path, max_events=11)
    assert (report["status"], report["events_written"]) == ("written", 11)
    extractor.shuffle_data(output, seed=1)
    extractor.split_data(output, {"Training": 0.9, "Validation": 0.1})
    events = read_dataset(output)
    assert len(events) == 11
    assert sum(event["table"] == "Events_Training" for event in events) == 10


def test_mapped_and_all_hold_the_same_images(production, convert, make_config):
    found = {}
    for storage_mode in ("mapped", "all"):
        config = make_config(storage_mode=storage_mode, telescope_type_mode="ALL", image_mode="PIXELS_TIMING_2C")
        output = convert(production[1], config, output=f"{storage_mode}.h5")
        found[storage_mode] = {event["event_number"]: event["pixels"] for event in read_dataset(output)}
    assert found["mapped"].keys() == found["all"].keys()
    for number, pixels in found["mapped"].items():
        assert pixels.keys() == found["all"][number].keys()
        assert all(np.array_equal(pixels[tel_id], found["all"][number][tel_id]) for tel_id in pixels)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_every_demo_camera(dtype, all_cameras, convert, make_config):
    """Two gains and one, hexagons and squares, 64 samples and a single one: all as ctapipe has them."""
    config = make_config(
        storage_mode="mapped", telescope_type_mode="ALL", image_mode="PIXELS_TIMING_2C", image_dtype=dtype
    )  # fmt: skip
    stored = {event["event_number"]: event for event in read_dataset(convert(all_cameras, config))}
    cameras = set()
    for source, event in dl1_events(all_cameras):
        row = stored.pop(event.index.event_id)
        check_truth(row, event)
        assert set(row["pixels"]) == set(event.dl1.tel)
        for tel_id, dl1 in event.dl1.tel.items():
            charge, time = (expected(values, dtype, 100)[0] for values in (dl1.image, dl1.peak_time))
            assert np.array_equal(row["pixels"][tel_id], [charge, time])
            cameras.add(source.subarray.tel[tel_id].camera.name)
    assert not stored
    assert cameras == {"LSTCam", "NectarCam", "FlashCam", "SCTCam", "CHEC", "ASTRICam", "DigiCam"}

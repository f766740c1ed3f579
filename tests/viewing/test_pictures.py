"""Pictures show the array and the camera of every telescope, the right way up, with nothing cut off."""

import os

import numpy as np
import pytest
import tables
from helpers.made_dataset import TELESCOPES, write_dataset
from helpers.processes import ROOT, called, run_script

from image_extractor import ImageExtractor
from image_extractor.commands import plot_numtel, visualize_events
from image_extractor.mapping import images
from image_extractor.viewing.event_images import open_events
from image_extractor.viewing.pictures import events_figure

PNG = b"\x89PNG\r\n\x1a\n"


def event_figure(event, all_times=False):
    return events_figure([event], all_times)


def one_event(path, n_images=3):
    """Return an event with so many images, and its dataset's made truth."""
    with open_events(path) as dataset:
        for table in dataset.tables():
            for row in range(table.nrows):
                event = dataset.event(table, row)
                if len(event.images) == n_images:
                    return event
    raise AssertionError("no such event")


def panels(figure):
    """Return the axes by what they show: arrays, cameras, colour bars."""
    arrays = [axes for axes in figure.axes if axes.images]
    cameras = [axes for axes in figure.axes if axes.get_xlabel() == "camera x [m]"]
    return arrays, cameras, [axes for axes in figure.axes if axes not in arrays + cameras]


@pytest.mark.one_in(5)
@pytest.mark.parametrize("storage_mode", ["all", "mapped"])
@pytest.mark.parametrize("image_mode", ["PIXELS_1C", "PIXELS_TIMING_3C", "PIXELS_MASK_2C", "PIXELS_TIMING_MASK_3C"])
def test_panels_hold_what_is_stored(tmp_path, storage_mode, image_mode):
    write_dataset(tmp_path / "made.h5", (12, 8), storage_mode=storage_mode, image_mode=image_mode)
    event = one_event(tmp_path / "made.h5")
    arrays, cameras, bars = panels(event_figure(event, all_times=True))
    quantities = (
        ["charge"] + ["peak time"] * ("TIMING" in image_mode) + ["kept by the cleaning"] * ("MASK" in image_mode)
    )
    assert len(arrays) == len(cameras) == len(bars) == 3 * len(quantities)
    assert [bar.get_ylabel().split(" [")[0] for bar in bars] == quantities * 3
    units = {bar.get_ylabel().split("[")[1].split("]")[0] for bar in bars if "[" in bar.get_ylabel()}
    assert units == {"p.e."} | ({"ns"} if "TIMING" in image_mode else set())
    for index, (array, camera) in enumerate(zip(arrays, cameras, strict=True)):
        image = event.images[index // len(quantities)]
        quantity = quantities[index % len(quantities)]
        stored = {"charge": image.charge_array, "peak time": image.time_array}.get(quantity, image.mask_array)
        pixels = {"charge": image.charge, "peak time": image.peak_time}.get(quantity, image.mask)
        shown = array.images[0]
        # what is drawn in column c and line l, counted from below, is image[c, l]
        np.testing.assert_array_equal(np.asarray(shown.get_array()), stored.T)
        # cells without a pixel are left out, whatever the range of the others
        cells = np.zeros(image.camera.shape, bool)
        cells[image.camera.pixels["array_x"], image.camera.pixels["array_y"]] = True
        np.testing.assert_array_equal(shown.get_array().mask.T, ~cells.repeat(2, axis=0).repeat(2, axis=1))
        assert shown.origin == "lower"
        assert array.get_aspect() == camera.get_aspect() == 1
        collection = camera.collections[0]
        np.testing.assert_array_equal(np.asarray(collection.get_array()), pixels)
        assert shown.get_clim() == collection.get_clim()
        if quantity.startswith("kept"):
            assert shown.get_clim() == (0, 1)
        assert not camera.xaxis_inverted()
        assert not camera.yaxis_inverted()


@pytest.mark.parametrize("image_mode", ["PIXELS_TIMING_2C", "PIXELS_TIMING_MASK_3C"])
def test_peak_times_are_drawn_where_there_is_light(tmp_path, image_mode):
    """Where the cleaning keeps pixels; without one, where charges stand out of the noise."""
    write_dataset(tmp_path / "made.h5", (12, 8), image_mode=image_mode, image_scale_factor=1)
    event = one_event(tmp_path / "made.h5")
    noise = np.random.default_rng(3)
    for image in event.images:
        image.charge[:] = noise.normal(0, 1, len(image.charge))
        image.charge[:5] = 100
    arrays, cameras, _ = panels(event_figure(event))
    n_lines = len(arrays) // len(event.images)
    for number, image in enumerate(event.images):
        lit = image.mask if image.mask is not None else image.charge == 100
        shown = np.asarray(cameras[number * n_lines + 1].collections[0].get_array())
        np.testing.assert_array_equal(shown[lit], image.peak_time[lit])
        assert (shown[~lit] < shown[lit].min(initial=np.inf)).all()  # below the scale: grey
        cells = arrays[number * n_lines + 1].images[0].get_array().T
        pixels = image.camera.pixels
        np.testing.assert_array_equal(cells[pixels["array_x"], pixels["array_y"]], shown)


def test_titles_say_that_an_image_is_cleaned(tmp_path):
    write_dataset(tmp_path / "made.h5", (12, 8), image_cleaned=True)
    event = one_event(tmp_path / "made.h5")
    texts = [text.get_text() for text in event_figure(event).texts]
    for image in event.images:
        title = f"{image.tel_type} telescope {image.tel_id}, {image.camera.name}, {image.charge.sum():.0f} p.e."
        assert f"{title} after cleaning" in texts


@pytest.mark.one_in(3)
@pytest.mark.parametrize("dtype", ["float32", "int16", "uint16"])
def test_titles_say_what_a_sum_leaves_out(tmp_path, dtype):
    write_dataset(tmp_path / "made.h5", (12, 8), image_dtype=dtype)
    event = one_event(tmp_path / "made.h5")
    if dtype == "float32":
        event.images[0].charge[3] = np.nan
    texts = [text.get_text() for text in event_figure(event).texts]
    for number, image in enumerate(event.images):
        title = f"{image.tel_type} telescope {image.tel_id}, {image.camera.name}, {np.nansum(image.charge):.0f} p.e."
        title += " as stored, negative charges as 0" if dtype == "uint16" else ""
        title += ", 1 pixel not finite" if dtype == "float32" and not number else ""
        assert title in texts


def test_pixels_are_drawn_where_the_camera_has_them(tmp_path):
    """Shapes tile the camera: centres at the pixels, no overlap, no hexagon squashed or turned."""
    write_dataset(tmp_path / "made.h5", (12, 8))
    event = one_event(tmp_path / "made.h5")
    _, cameras, _ = panels(event_figure(event))
    for image, axes in zip(event.images, cameras, strict=True):
        geometry = TELESCOPES[image.tel_id][1]
        corners = 6 if geometry.pix_type.value == "hexagon" else 4
        shapes = [path.vertices[:corners] for path in axes.collections[0].get_paths()]
        centres = np.array([shape.mean(axis=0) for shape in shapes])
        np.testing.assert_allclose(centres, np.column_stack([geometry.pix_x.value, geometry.pix_y.value]), atol=1e-9)
        area = [0.5 * abs(np.sum(s[:, 0] * np.roll(s[:, 1], 1) - s[:, 1] * np.roll(s[:, 0], 1))) for s in shapes]
        np.testing.assert_allclose(area, geometry.pix_area.value, rtol=1e-6)
        # neighbours share an edge: each inner pixel's corners are corners of others too
        all_corners = np.concatenate(shapes)
        inner = np.argmin(np.hypot(*(centres - centres.mean(axis=0)).T))
        for corner in shapes[inner]:
            near = np.hypot(*(all_corners - corner).T) < 0.02 * np.sqrt(geometry.pix_area.value[0])
            assert near.sum() == (3 if corners == 6 else 4)


def test_axes_agree(tmp_path):
    """Up in the camera is up in the array, right is right, to within the lattice's angle."""
    write_dataset(tmp_path / "made.h5", (12, 8), image_scale_factor=1)
    for image in one_event(tmp_path / "made.h5").images:
        pixels = image.camera.pixels
        for axis in "xy":
            right_way = np.corrcoef(pixels[f"pix_{axis}"], pixels[f"array_{axis}"])[0, 1]
            assert right_way > np.cos(np.radians(31))


@pytest.mark.slow
def test_nothing_is_cut_off_or_overlaps(tmp_path):
    """For few and for many telescopes every text and panel is inside the picture; colour bars are free."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    write_dataset(tmp_path / "made.h5", (12, 8), image_mode="PIXELS_TIMING_2C")
    event = one_event(tmp_path / "made.h5")
    original = list(event.images)
    for n, n_events in ((1, 1), (3, 1), (5, 2), (40, 1)):
        event.images[:] = (original * 14)[:n]
        figure = events_figure([event] * n_events)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        width, height = canvas.get_width_height()
        renderer = canvas.get_renderer()
        boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
        boxes += [text.get_window_extent(renderer) for text in figure.texts]
        for box in boxes:
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= width + 1
            assert box.y1 <= height + 1
        for i, one in enumerate(boxes):
            for other in boxes[i + 1 :]:
                overlap = min(one.x1, other.x1) - max(one.x0, other.x0), min(one.y1, other.y1) - max(one.y0, other.y0)
                assert min(overlap) < 4, (n, one, other)
        assert max(width, height) <= 10_000


def test_a_mapping_that_resamples_says_so(tmp_path):
    write_dataset(tmp_path / "made.h5", (12, 8), image_mapping="bilinear")
    event = one_event(tmp_path / "made.h5")
    texts = [text.get_text() for text in event_figure(event).texts]
    assert sum("mapping bilinear: the camera shows the cells at its pixels' centres" in text for text in texts) == 3
    assert len(texts) == 4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image_dtype": "uint16"}, ["sums as stored, negative charges as 0"]),
        ({"image_mapping": "bilinear"}, ["resampled: the camera shows the cells at its pixels' centres"]),
        ({}, []),
    ],
)
def test_many_images_say_once_what_is_true_of_all(tmp_path, settings, words):
    write_dataset(tmp_path / "made.h5", (12, 8), **settings)
    event = one_event(tmp_path / "made.h5")
    event.images[:] = event.images * 3
    title = event_figure(event).texts[0].get_text().replace("\n", " ").replace("\u00a0", " ")
    assert "left: the array as stored, right: the camera" in title
    for word in ("sums as stored", "resampled"):
        assert (word in title) == any(word in one for one in words)
    assert all(one in title for one in words)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("mapping", ["nearest", "bicubic", "rebinning"])
def test_resampled_cells_without_a_pixel_are_left_out(tmp_path, mapping):
    """In every panel alike, whatever the range of the others."""
    write_dataset(tmp_path / "made.h5", (12, 8), image_mapping=mapping, image_mode="PIXELS_TIMING_2C")
    event = one_event(tmp_path / "made.h5")
    arrays, _, _ = panels(event_figure(event))
    for index, axes in enumerate(arrays):
        image = event.images[index // 2]
        _, geometry = TELESCOPES[image.tel_id]
        weights = images.pixel_grid(geometry, mapping).charge_weights
        dark = (np.diff(weights.indptr) == 0).reshape(image.camera.shape).repeat(2, axis=0).repeat(2, axis=1)
        masked = axes.images[0].get_array().mask.T
        assert dark.any()
        assert masked[dark].all()
        # of what may hold light, at most an edge that is rounded to 0 is grey
        assert not masked[~dark & (image.camera.has_pixel(dark.shape))].any()
        if mapping != "rebinning":
            assert np.array_equal(masked, dark)


def test_title_is_the_truth(tmp_path):
    write_dataset(tmp_path / "made.h5", (12, 8), dictionary=True, mode="energy_recon")
    event = one_event(tmp_path / "made.h5")
    title = event_figure(event).texts[0].get_text().replace("\n", " ").replace("\u00a0", " ")
    values = event.values
    assert title.startswith(f"gamma of {values['mc_energy']:.4g} TeV, reconstructed ")
    assert f"run 4 event {values['event_number']}" in title
    assert f"core x {values['core_x']:.1f} m, y {values['core_y']:.1f} m" in title
    assert f"label {values['energy_reconstruction_bin_label']}" in title


@pytest.mark.slow
def test_the_command_draws_both_primaries_of_an_event(tmp_path):
    write_dataset(tmp_path / "made.h5", (4, 4), seed=1, split={"Training": 0.5, "Validation": 0.5})
    arguments = ["--run", 4, "--event", 200, "--output", tmp_path / "new" / "pictures"]
    result = run_script("visualize_events.py", tmp_path / "made.h5", *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    names = sorted(path.name for path in (tmp_path / "new" / "pictures").iterdir())
    assert names == ["made_run4_event200_gamma.png", "made_run4_event200_proton.png"]
    assert len(result.stdout.splitlines()) == 2
    assert (tmp_path / "new" / "pictures" / names[0]).read_bytes().startswith(PNG)


@pytest.mark.slow
def test_events_together_are_one_picture(tmp_path):
    write_dataset(tmp_path / "made.h5", (4, 4))
    arguments = ["--random", 3, "--together", "--output"]
    result = called("visualize_events", tmp_path / "made.h5", *arguments, tmp_path / "new" / "three.png")
    assert (result.returncode, result.stderr, result.stdout) == (0, "", f"{tmp_path / 'new' / 'three.png'}\n")
    result = called("visualize_events", tmp_path / "made.h5", *arguments, tmp_path / "folder")
    assert (tmp_path / "folder" / "made_events.png").read_bytes() == (tmp_path / "new" / "three.png").read_bytes()
    with open_events(tmp_path / "made.h5") as dataset:
        events = [dataset.event(*place) for place in dataset.random(3)]
    arrays, _, _ = panels(events_figure(events))
    assert len(arrays) == sum(len(event.images) for event in events)


def two_pointings(path):
    """Write a dataset of two runs of one number and primary, pointing north and south, with all event numbers in both."""
    write_dataset(path, (4, 4))
    with tables.open_file(path, "a") as file:
        runs = file.root.Run_Table
        runs.modify_column(column=[0, 0], colname="primary")
        runs.modify_column(column=[b"north.simtel.gz", b"south.simtel.gz"], colname="file_name")
        runs.modify_column(column=[0.0, np.pi], colname="pointing_az")
        runs.modify_column(column=[1.2, 1.2], colname="pointing_alt")
        for table in file.walk_nodes("/", "Table"):
            if table.name == "Events" and table.nrows:
                index = (table.col("gamma_hadron_label") == 101).astype(np.int32)
                table.modify_column(column=index, colname="run_index")
                table.modify_column(column=np.zeros(table.nrows, np.int32), colname="gamma_hadron_label")


@pytest.fixture
def draw(tmp_path, monkeypatch, capsys):
    """Run a command that draws, in this process and folder: exit code, last line of stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(main, *arguments):
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return run


@pytest.mark.slow
def test_runs_of_one_number_and_primary_give_two_pictures(tmp_path, draw):
    """Whichever of them is drawn; titles say which is which."""
    two_pointings(tmp_path / "made.h5")
    code, names, said = draw(visualize_events.main, "made.h5", "--run", 4, "--event", 200)
    assert sorted(names) == [f"made_run4_index{index}_event200_gamma.png" for index in (0, 1)]
    assert (code, said) == (0, "")
    with open_events(tmp_path / "made.h5") as dataset:
        figures = [event_figure(dataset.event(*place)) for place in dataset.find(4, 200)]
    titles = [figure.texts[0].get_text().replace("\n", " ") for figure in figures]
    for name, azimuth in (("north", "0.00"), ("south", "180.00")):
        words = f"event 200  ·  file {name}.simtel.gz", f"pointing altitude 68.75°, azimuth {azimuth}°"
        spaced = [title.replace("\u00a0", " ") for title in titles]
        assert [all(word in title for word in words) for title in spaced].count(True) == 1


@pytest.mark.slow
def test_nothing_is_overwritten_but_by_the_same_command(tmp_path, draw):
    """Pictures say what they show: the same dataset's, drawn again, takes the place of the old one."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        write_dataset(folder / "made.h5", (4, 4))
    commands = [
        (visualize_events.main, "--run", 4, "--event", 200),
        (visualize_events.main, "--together"),
        (plot_numtel.main,),
    ]
    for main, *options in commands:
        (code, (*_, name), _), second = draw(main, "one/made.h5", *options), draw(main, "two/made.h5", *options)
        assert (code, second[0], second[1][-1]) == (0, 0, name.replace(".png", "_2.png"))
        kept = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(kept + b"drawn by an earlier version")
        assert draw(main, tmp_path / "one" / "made.h5", *options)[1][-1] == name
        assert draw(main, "two/made.h5", *options) == second
        assert (tmp_path / name).read_bytes() == kept
    for mine, content in (("mine.png", PNG + b"\0\0\0\4tEXtmine"), ("text.png", b"mine")):
        (tmp_path / mine).write_bytes(content)
        code, _, said = draw(main, "one/made.h5", "--output", mine)
        assert (code, said) == (2, f"{mine}: is there and is not this picture: choose another --output\n")
        assert (tmp_path / mine).read_bytes() == content
    assert len(list(tmp_path.glob("*.png"))) == 2 * 4 + 2


@pytest.mark.slow
def test_events_of_numbered_outputs(tmp_path, draw):
    """An event is found in whichever it is; random ones are drawn from all."""
    made = [write_dataset(tmp_path / f"o_{number:04}.h5", (n, 0)) for number, n in ((0, 2), (1, 4))]
    result = draw(visualize_events.main, "o_*.h5", "--run", 4, "--event", 400)
    assert result == (0, ["o_0001_run4_event400_gamma.png"], "")
    code, names, _ = draw(visualize_events.main, "o_0000.h5", "o_0001.h5", "--random", 20, "--output", "all")
    assert (code, len(set(names))) == (0, len([*made[0], *made[1]]))
    assert draw(visualize_events.main, "o_*.h5", "--together", "--random", 2) == (0, ["o_events.png"], "")
    result = draw(visualize_events.main, "o_*.h5", "--run", 4, "--event", 7)
    assert result == (2, [], "o_0000.h5 and 1 more: no run 4 event 7\n")


def test_output_is_a_folder_or_the_one_picture(tmp_path):
    write_dataset(tmp_path / "made.h5", (4, 4))

    def draw(n, output):
        return called("visualize_events", tmp_path / "made.h5", "--random", n, "--output", output)

    result = draw(1, tmp_path / "new" / "one.png")
    assert (result.returncode, result.stderr, result.stdout) == (0, "", f"{tmp_path / 'new' / 'one.png'}\n")
    assert (tmp_path / "new" / "one.png").read_bytes().startswith(PNG)
    for n, output, reason in (
        (2, "two.png", "is one file, for 2 pictures: name a folder, or add --together"),
        (1, "made.h5", "is a file; --output is a folder, or a name that ends in .png"),
    ):
        result = draw(n, tmp_path / output)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == f"{tmp_path / output}: {reason}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.h5", "new"]


def test_what_is_not_there_is_one_line(tmp_path):
    write_dataset(tmp_path / "made.h5", (4, 4))
    cases = {
        ("--run", 4, "--event", 7): "no run 4 event 7\n",
        ("--run", 4, "--event", 7, "--bin", 1): "no run 4 event 7 in bin 1\n",
        ("--random", 2, "--bin", 4): "no bin 4: it has 4 bins, from 0\n",
    }
    for arguments, line in cases.items():
        result = called("visualize_events", tmp_path / "made.h5", *arguments, cwd=tmp_path)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == f"{tmp_path / 'made.h5'}: {line}"
    assert not list(tmp_path.glob("*.png"))


def test_half_an_event_is_wrong_usage(tmp_path):
    for arguments in (["--run", 4], ["--event", 4], ["--run", 4, "--event", 4, "--random", 1], ["--random", 0]):
        result = called("visualize_events", tmp_path / "absent.h5", *arguments)
        assert result.returncode == 2
        assert result.stderr.startswith("visualize_events.py: ")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("script", ["visualize_events.py", "plot_numtel.py"])
def test_without_matplotlib_one_line_says_how_to_get_it(tmp_path, script):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'matplotlib':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    result = run_script(script, "any.h5", env=environment)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "needs matplotlib: pip install 'image_extractor[scripts]'\n"


@pytest.mark.slow
def test_demo_cameras(tmp_path, all_cameras):
    """Hexagons and squares, and nothing is said of them."""
    path = tmp_path / "demo.h5"
    settings = {"use_pkl_dict": False, "telescope_type_mode": "LST+SST", "image_mode": "PIXELS_TIMING_2C"}
    ImageExtractor(path, None, "gh_class", **settings).process_files([all_cameras], max_events=1)
    result = called("visualize_events", path, "--random", 1, "--output", tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert [path.name.split("_")[-1] for path in tmp_path.glob("*.png")] == ["gamma.png"]


@pytest.mark.slow
def test_real_cameras(tmp_path, real):
    """A real event of LSTCam, and one of CHEC."""
    for name, types in (("history_meta_75.simtel.zst", "LST"), ("gct_checs_muons.simtel.zst", "SST")):
        path = tmp_path / f"{types}.h5"
        settings = {"use_pkl_dict": False, "telescope_type_mode": types, "image_mode": "PIXELS_TIMING_2C"}
        extractor = ImageExtractor(path, None, "gh_class", **settings)
        extractor.process_files([real(name)], max_events=1)
        result = called("visualize_events", path, "--random", 1, "--output", tmp_path)
        assert (result.returncode, result.stderr) == (0, "")
    assert {path.name.split("_")[-1] for path in tmp_path.glob("*.png")} == {"gamma.png", "muon.png"}

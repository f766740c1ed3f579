"""What is drawn over a camera: the edge of what the cleaning keeps, and the Hillas ellipse, where ctapipe has them."""

import numpy as np
import pytest
from ctapipe.image import hillas_parameters, tailcuts_clean

from image_extractor import ImageExtractor, demo
from image_extractor.viewing import overlays
from image_extractor.viewing.event_images import open_events

TELESCOPES = "LST:1,MSTF:1,SSTC:1,SSTD:1"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Bright images of four cameras: {camera: TelescopeImage}."""
    folder = tmp_path_factory.mktemp("overlays")
    demo.write_demo_file(folder / "gamma.simtel", events=12, telescopes=TELESCOPES, energy=(2, 20), scatter=120)
    extractor = ImageExtractor(
        folder / "data.h5", None, "gh_class", storage_mode="mapped", use_pkl_dict=False, telescope_type_mode="ALL",
        image_mode="PIXELS_TIMING_MASK_3C", image_scale_factor=1, energy_bins_min=-3, energy_bins_max=4,
        energy_bins_bin_size=7, parameters_store=True, image_cuts={"hillas_intensity": (100, None)},
    )  # fmt: skip
    extractor.process_files([folder / "gamma.simtel"])
    with open_events(folder / "data.h5") as dataset:
        (table,) = dataset.tables()
        events = [dataset.event(table, row) for row in range(table.nrows)]
    found = {image.camera.name: image for event in events for image in event.images}
    assert len(found) == 4
    return found


def test_the_ellipse_is_where_ctapipe_has_it_in_the_camera(images):
    for image in images.values():
        geometry, mask = image.camera.geometry(), image.mask
        expected = hillas_parameters(geometry[mask], image.charge[mask])
        x, y = overlays.ellipse(image.parameters, image.focal_length)
        size = expected.length.to_value("m")
        assert np.mean(x[:-1]) == pytest.approx(expected.x.to_value("m"), abs=0.02 * size)
        assert np.mean(y[:-1]) == pytest.approx(expected.y.to_value("m"), abs=0.02 * size)
        far = np.argmax(np.hypot(x - x[:-1].mean(), y - y[:-1].mean()))
        angle = np.arctan2(y[far] - y[:-1].mean(), x[far] - x[:-1].mean()) - expected.psi.to_value("rad")
        assert abs(np.sin(angle)) < 0.05
        assert np.hypot(x[far] - x[:-1].mean(), y[far] - y[:-1].mean()) == pytest.approx(size, rel=0.02)


def test_what_is_kept_is_the_stored_mask_or_cleaned_anew(images):
    for image in images.values():
        np.testing.assert_array_equal(overlays.kept_pixels(image), image.mask)
        picture, boundary, neighbours = image.thresholds
        charge = image.charge.astype(np.float32)
        expected = tailcuts_clean(
            image.geometry, charge, picture, boundary, min_number_picture_neighbors=neighbours
        )  # fmt: skip
        np.testing.assert_array_equal(image.mask, expected)


def test_the_outline_is_the_edge_of_the_pixels_kept(images):
    for image in images.values():
        camera, n_corners = image.camera, image.camera.lattice().corners.shape[1]
        one, two = np.zeros((2, len(camera.pixels)), bool)
        middle = int(np.argmin(np.hypot(camera.pixels["pix_x"], camera.pixels["pix_y"])))
        neighbours = np.flatnonzero(camera.geometry().neighbor_matrix[middle])
        one[middle] = True
        two[[middle, neighbours[0]]] = True
        assert len(overlays.outline(camera, one)) == n_corners
        assert len(overlays.outline(camera, two)) == 2 * n_corners - 2
        assert overlays.outline(camera, np.zeros(len(one), bool)).shape == (0, 2, 2)

"""The shape of the synthetic showers in their images: where they point to, how they grow, what tells primaries apart."""

import numpy as np
import pytest
from ctapipe.image import number_of_islands
from helpers.demo_images import cleaned, hillas

from image_extractor.demo import production, showers

pytestmark = pytest.mark.usefixtures("warnings_are_errors")


def test_major_axis_points_to_the_source(gamma_images):
    misses = []
    for event, _, telescope, dl1, true in gamma_images:
        if true.sum() < 500:
            continue
        focal_length = telescope.camera.geometry.frame.focal_length.to_value("m")
        shower, pointing = event.simulation.shower, event.monitoring.pointing
        offset = (shower.alt - pointing.array_altitude).to_value("rad")
        assert offset == pytest.approx(np.deg2rad(0.5), rel=1e-3)  # the source, above the pointing
        parameters, _ = hillas(telescope, dl1)
        dx = focal_length * np.tan(offset) - parameters.x.to_value("m")
        dy = -parameters.y.to_value("m")
        psi = parameters.psi.to_value("rad")
        misses.append(abs(dy * np.cos(psi) - dx * np.sin(psi)) / focal_length)
    assert len(misses) > 50
    assert np.rad2deg(np.median(misses)) < 0.3


def test_stereo_reconstruction_finds_direction_and_core(gamma_images):
    """Where all conventions meet: pointing, camera frame, ground frame, cores."""
    axes = showers.sky_axes(*production.POINTING)
    found = {}
    for event, tel_id, telescope, dl1, true in gamma_images:
        if true.sum() > 500:
            found.setdefault(event.index.event_id, [event, []])[1].append(
                (telescope, tel_id, hillas(telescope, dl1)[0])
            )
    offsets = []
    for event, images in found.values():
        if len(images) < 4:
            continue
        normals, rows = [], []
        for telescope, _, parameters in images:
            f = telescope.camera.geometry.frame.focal_length
            x, y = (parameters.x / f).to_value(""), (parameters.y / f).to_value("")
            psi = parameters.psi.to_value("rad")
            centre, ahead = np.array([1, x, y]) @ axes, np.array([1, x + np.cos(psi), y + np.sin(psi)]) @ axes
            normal = np.cross(centre, ahead)
            normals.append(normal / np.linalg.norm(normal))
            rows.append(parameters.intensity)
        weights = np.sqrt(rows)[:, np.newaxis]
        direction = np.linalg.svd(np.array(normals) * weights)[2][-1]
        shower = event.simulation.shower
        offsets.append(np.arccos(abs(direction @ showers.direction_to(shower.az.rad, shower.alt.rad))))
    assert len(offsets) >= 5
    assert np.rad2deg(np.median(offsets)) < 0.1


def test_images_grow_with_energy_and_fade_with_distance():
    array = production.make_array({"LST": 1})
    core = np.zeros(2)

    def light(energy, distance, primary="gamma"):
        place = np.array([[0.0, distance, 0.0]])
        total = 0.0
        for seed in range(10):
            shower = showers.make_shower(np.random.default_rng(seed), primary, energy, *production.POINTING)
            total += showers.expected_photoelectrons(shower, core, place, array.light_area)[0].sum()
        return total

    by_energy = [light(energy, 100) for energy in (0.1, 0.3, 1, 3, 10)]
    by_distance = [light(1, distance) for distance in (50, 100, 150, 200, 300, 500)]
    assert np.all(np.diff(by_energy) > 0)
    assert 5 < by_energy[2] / by_energy[0] < 40  # ten times the energy
    assert np.all(np.diff(by_distance) < 0)
    assert light(1, 100, "proton") < light(1, 100)


def test_gamma_images_have_a_time_gradient(gamma_images):
    """Far from the core, light from further away along the image comes later or earlier, steadily."""
    correlations = []
    for event, tel_id, telescope, dl1, true in gamma_images:
        distance = event.simulation.tel[tel_id].impact.distance.to_value("m")
        if true.sum() < 500 or distance < 120 or telescope.camera.readout.n_samples == 1:
            continue
        parameters, mask = hillas(telescope, dl1)
        psi = parameters.psi.to_value("rad")
        geometry = telescope.camera.geometry[mask]
        along = geometry.pix_x.to_value("m") * np.cos(psi) + geometry.pix_y.to_value("m") * np.sin(psi)
        correlations.append(abs(np.corrcoef(along, dl1.peak_time[mask])[0, 1]))
    assert len(correlations) > 5
    assert np.median(correlations) > 0.7


@pytest.mark.slow
def test_protons_are_wider_and_more_irregular_than_gammas(gamma_images, proton_images):
    widths, islands = [], []
    for images in (gamma_images, proton_images):
        width, island = [], []
        for _, _, telescope, dl1, true in images:
            if true.sum() < 300 or cleaned(telescope, dl1).sum() < 5:
                continue
            parameters, mask = hillas(telescope, dl1)
            width.append((parameters.width / telescope.camera.geometry.frame.focal_length).to_value(""))
            island.append(number_of_islands(telescope.camera.geometry, mask)[0])
        widths.append(np.rad2deg(width))
        islands.append(np.mean(island))
    gamma, proton = widths
    assert min(len(gamma), len(proton)) > 50
    assert proton.mean() > 1.2 * gamma.mean()
    assert islands[1] > islands[0]
    # Even this one number tells them apart, so that a network has something to learn.
    assert (proton[:, np.newaxis] > gamma).mean() > 0.7

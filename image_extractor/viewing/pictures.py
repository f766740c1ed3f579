"""Pictures of events: the arrays that a learner gets, beside the cameras they come from.

Axes stand at places given in inches, so that nothing overlaps or is cut off, for one telescope or forty.
"""

import math
import weakref

import numpy as np

from ..primaries import primary_name
from ..terminal.text_table import plural, printable
from ..times import utc_text
from . import overlays

#: Pixels per inch; lowered for pictures that would have a side of more than MAX_SIDE pixels.
DPI, MAX_SIDE = 100, 10_000
#: Margins around panels for labels, height of a line of a title, width and distance of a colour bar [inch].
LEFT, RIGHT, BOTTOM, LINE = 0.55, 0.75, 0.45, 0.2
BAR, GAP = 0.09, 0.16
#: Sides of a panel for few telescopes and for many [inch].
LARGE, SMALL = 3.4, 1.9
#: Telescopes beside each other where events share a picture.
MAX_COLUMNS = 4
TITLE_SIZE = 10
#: Colour maps of charge, time and mask; cells without a pixel, and what is below the scale, are grey.
CHARGE_COLOURS, TIME_COLOURS, MASK_COLOURS, BELOW = "inferno", "viridis", "cividis", "0.85"


def save(figure, file, metadata=None):
    """Write a figure as PNG to a path or binary file, with a text for each keyword of the metadata."""
    side = max(figure.get_size_inches())
    figure.savefig(file, dpi=min(DPI, MAX_SIDE / side), format="png", metadata=metadata)


def events_figure(events):
    """Return the matplotlib Figure of one or more events, one below the other.

    For each telescope the stored array and the camera, for charge and, where stored, peak time and cleaning mask.

    Parameters
    ----------
    events : list of event_images.Event
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    parts = [_EventPart(event, MAX_COLUMNS if len(events) > 1 else None) for event in events]
    width, height = max(part.width for part in parts), sum(part.height for part in parts)
    figure = Figure(figsize=(width, height))
    top = height
    for part in parts:
        part.draw(figure, top)
        top -= part.height
    return figure


class _EventPart:
    """The part of a figure that shows one event: a title and a grid of telescopes.

    Parameters
    ----------
    event : event_images.Event
    max_columns : int, optional
        Telescopes beside each other, at most; else about as wide as high.
    """

    def __init__(self, event, max_columns=None):
        self._event = event
        n = max(len(event.images), 1)
        n_lines = max((len(_quantities(image)) for image in event.images), default=1)
        n_titles = max((_image_title(image).count("\n") + 1 for image in event.images), default=1)
        panel = LARGE if n <= 2 else max(SMALL, LARGE - 0.2 * n)
        self._block = block = _Block(SMALL if max_columns else panel, n_lines, n_titles)
        self._columns = min(n, max_columns or max(1, round(math.sqrt(n * block.height / block.width))))
        self.width = self._columns * block.width
        self._titles = _titles(event, self.width)
        self._head = (len(self._titles) + 1) * LINE
        self.height = -(-n // self._columns) * block.height + self._head

    def draw(self, figure, top):
        """Draw the event below `top` [inch]."""
        width, height = figure.get_size_inches()
        place = 0.5 * self.width / width, (top - 0.12) / height
        title = "\n".join(self._titles)
        style = {"fontsize": TITLE_SIZE, "linespacing": 1.3, "parse_math": False}
        figure.text(*place, title, ha="center", va="top", **style)
        for position, image in enumerate(self._event.images):
            line, column = divmod(position, self._columns)
            corner = column * self._block.width, top - self._head - (line + 1) * self._block.height
            self._block.draw(figure, image, corner)


def _titles(event, width):
    """Return the truth of an event as lines that fit a figure of `width` inches."""
    import textwrap

    truth = event.values
    energy = truth["reconstructed_energy"]
    reconstructed = "" if math.isnan(energy) else f", reconstructed {energy:.4g} TeV"
    label = truth.get("energy_reconstruction_bin_label")
    number = f"run {truth['run_number']} event {truth['event_number']}"
    primary = f"{primary_name(truth['gamma_hadron_label'])} of {truth['mc_energy']:.4g} TeV"
    core = f"core x {truth['core_x']:.1f} m, y {truth['core_y']:.1f} m"
    simulated = [f"{primary}{reconstructed}", number, *event.run, core, _direction(truth)]
    words = [
        *(_observed(truth, reconstructed, number, event.run) if event.is_observed else simulated),
        f"{event.table.lstrip('/')} row {event.row}" + ("" if label is None else f", label {label}"),
        plural(len(event.images), "image"),
    ]
    # blanks within a fact do not break; 14 characters of this size fill an inch
    text = "  ·  ".join(word.replace(" ", "\u00a0") for word in words)
    return [line.strip(" ·") for line in textwrap.wrap(text, int(14 * width), break_long_words=False)]


def _observed(values, reconstructed, number, run):
    """Return what is known of an observed event, in words."""
    return [f"observed {utc_text(values['time'])}{reconstructed}", number, *run, _direction(values, "pointing_")]


def _direction(values, prefix=""):
    altitude, azimuth = (math.degrees(values[f"{prefix}{axis}"]) for axis in ("alt", "az"))
    return f"{prefix.replace('_', ' ')}altitude {altitude:.2f}°, azimuth {azimuth:.2f}°"


class _Block:
    """The panels of one telescope: array and camera beside each other, a line each for charge, time and mask.

    Parameters
    ----------
    panel : float
        Side of a panel [inch].
    n_lines : int
    n_titles : int
        Lines of the longest title.
    """

    def __init__(self, panel, n_lines, n_titles):
        self._panel, self._n_lines = panel, n_lines
        self.width = 2 * (panel + LEFT) + RIGHT
        self.height = n_lines * (panel + BOTTOM) + (n_titles + 1) * LINE

    def draw(self, figure, image, corner):
        """Draw a telescope's image with its lower left corner at `corner` [inch]."""
        middle = corner[0] + (self.width - RIGHT + LEFT) / 2, corner[1] + self.height - LINE / 2
        self._text(figure, middle, _image_title(image), 9)
        for line, (quantity, colours, array, pixels, limits) in enumerate(_quantities(image)):
            bottom = corner[1] + (self._n_lines - 1 - line) * (self._panel + BOTTOM) + BOTTOM
            left = corner[0] + LEFT
            array_axes = self._axes(figure, left, bottom, self._panel)
            camera_axes = self._axes(figure, left + self._panel + LEFT, bottom, self._panel)
            bar_axes = self._axes(figure, left + 2 * self._panel + LEFT + GAP, bottom, BAR)
            draw_pair(array_axes, camera_axes, bar_axes, image.camera, array, pixels, quantity, colours, limits)
            if line == 0:
                overlays.draw(camera_axes, image)

    def _axes(self, figure, left, bottom, width):
        size = figure.get_size_inches()
        return figure.add_axes([left / size[0], bottom / size[1], width / size[0], self._panel / size[1]])

    @staticmethod
    def _text(figure, place, text, fontsize):
        size = figure.get_size_inches()
        figure.text(place[0] / size[0], place[1] / size[1], text, ha="center", va="top", fontsize=fontsize)


def _quantities(image):
    """Return [(name for the colour bar, colour map, array, pixels, limits of the colours or None), ...] of an image."""
    found = [("charge [p.e.]", CHARGE_COLOURS, image.charge_array, image.charge, None)]
    if image.time_array is not None:
        found.append(("peak time [ns], as stored", TIME_COLOURS, image.time_array, image.peak_time, None))
    if image.mask_array is not None:
        name = "kept by the cleaning" if image.camera.is_lossless else "share kept by the cleaning"
        found.append((name, MASK_COLOURS, image.mask_array, image.mask.astype(float), (0, 1)))
    return found


def _image_title(image):
    title = f"{image.tel_type} telescope {image.tel_id}, {image.camera.name}"
    if image.camera.is_lossless:
        return f"{title}, {_sum_of(image)}"
    # a sum over cells, or over the cells of pixels' centres, is not the charge of the image
    return f"{title}\nmapping {image.camera.attributes['mapping']}: the camera shows the cells at its pixels' centres"


def _sum_of(image):
    """Return the sum of an image's stored charges in words, and what it leaves out."""
    finite = image.charge[np.isfinite(image.charge)]
    words = f"{finite.sum():.0f} p.e." + (" after cleaning" if image.is_cleaned else "")
    if image.stored.dtype.kind == "u":
        words += " as stored, negative charges as 0"
    if len(finite) < len(image.charge):
        words += f", {plural(len(image.charge) - len(finite), 'pixel')} not finite"
    return words


def draw_pair(array_axes, camera_axes, bar_axes, camera, array, pixels, quantity, colours, limits=None):
    """Draw an array as stored, the camera as ctapipe draws it, and their common colour bar.

    Parameters
    ----------
    array_axes, camera_axes, bar_axes : matplotlib Axes
    camera : event_images.StoredCamera
    array : float array (n_x, n_y)
    pixels : float array (n_pixels,)
    quantity : str
        With unit, for the colour bar.
    colours : str
        Name of a colour map.
    limits : (float, float), optional
        Of the colours; default: those that hold all values.
    """
    import matplotlib
    from matplotlib.ticker import MaxNLocator

    low, high = limits or _limits(pixels if camera.is_lossless else np.append(pixels, array[array != 0]))
    colour_map = matplotlib.colormaps[colours].with_extremes(under=BELOW, bad=BELOW)
    # image[x, y], so x to the right takes the transpose
    # a cell at the edge may hold a part of a pixel although its centre is in none
    cells = np.ma.array(array, mask=~camera.has_pixel(array.shape) & (array == 0))
    picture = array_axes.imshow(cells.T, origin="lower", cmap=colour_map, vmin=low, vmax=high, interpolation="nearest")
    angle = float(camera.attributes["axis_0_angle_deg"])
    turned = "" if abs(angle) < 0.05 else f", {angle:+.1f}° from camera x"
    array_axes.set_xlabel(f"array axis 0{turned}", fontsize=7, labelpad=2)
    array_axes.set_ylabel("array axis 1", fontsize=7, labelpad=2)

    display = _camera_display(camera, pixels, camera_axes, colour_map)
    display.pixels.set_clim(low, high)
    display.pixels.set(edgecolor="face", linewidth=0.3)  # else the background shines through between pixels
    camera_axes.set_aspect("equal", "box")
    camera_axes.margins(0.02)
    camera_axes.autoscale_view()
    camera_axes.set_xlabel("camera x [m]", fontsize=7, labelpad=2)
    camera_axes.set_ylabel("camera y [m]", fontsize=7, labelpad=2)

    # as many numbers as fit beside each other
    for axis in (array_axes.xaxis, array_axes.yaxis, camera_axes.xaxis, camera_axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    bar = array_axes.figure.colorbar(picture, cax=bar_axes, extend="neither")
    bar.set_label(quantity, fontsize=7, labelpad=2)
    for axes in (array_axes, camera_axes, bar_axes):
        axes.tick_params(labelsize=6.5, length=2.5, pad=1.5)


#: Patches of each StoredCamera that was drawn: making them is most of the time of a CameraDisplay.
_PATCHES = weakref.WeakKeyDictionary()


def _camera_display(camera, pixels, axes, colour_map):
    """Return ctapipe's CameraDisplay of a pixel vector; the patches of a camera are made once."""
    from ctapipe.visualization import CameraDisplay

    class Display(CameraDisplay):
        def create_patches(self, **pixel_shapes):
            if camera not in _PATCHES:
                _PATCHES[camera] = CameraDisplay.create_patches(**pixel_shapes)
            return _PATCHES[camera]

    display = Display(camera.geometry(), pixels, ax=axes, cmap=colour_map, title="", show_frame=False, autoupdate=False)
    display.pixel_highlighting.remove()  # never used here, but drawn pixel by pixel
    return display


def _limits(pixels):
    """Return the range of a colour scale that holds all finite pixels, never empty."""
    finite = pixels[np.isfinite(pixels)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


# -- numbers of telescopes -------------------------------------------------------------------------------


def numtel_figure(multiplicity, title):
    """Return the matplotlib Figure of a multiplicity.Multiplicity: a histogram for all types, and for each."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    types = multiplicity.types
    columns = math.ceil(math.sqrt(len(types)))
    lines = math.ceil(len(types) / columns)
    figure = Figure(figsize=(4.2 * columns + 0.6, 3.2 * lines + 0.4), layout="constrained")
    figure.suptitle(printable(title), fontsize=TITLE_SIZE, parse_math=False)
    for axes, tel_type in zip(figure.subplots(lines, columns, squeeze=False).flat, types, strict=False):
        _draw_numtel(axes, multiplicity, tel_type)
    for axes in figure.axes[len(types) :]:
        axes.remove()
    return figure


def _draw_numtel(axes, multiplicity, tel_type):
    from matplotlib.ticker import MaxNLocator

    n = multiplicity.n_telescopes[tel_type]
    edges = np.arange(n + 2) - 0.5
    for kind, colour in zip(multiplicity.counts, ("tab:blue", "tab:orange"), strict=False):
        mean = multiplicity.mean(kind, tel_type)
        counts = multiplicity.counts[kind][tel_type]
        label = f"{kind}: {plural(counts.sum(), 'event')}" + ("" if math.isnan(mean) else f", mean {mean:.2f}")
        axes.stairs(counts, edges, fill=True, color=colour, alpha=0.25)
        axes.stairs(counts, edges, color=colour, linewidth=1.5, label=label)
        if not math.isnan(mean):
            axes.axvline(mean, ymax=0.8, color=colour, linestyle="--", linewidth=1)
    axes.set_title(f"{tel_type}: {plural(n, 'telescope')}", fontsize=9)
    axes.set_xlabel("telescopes with images", fontsize=8)
    axes.set_ylabel("events", fontsize=8)
    axes.set_xlim(-0.5, n + 0.5)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.25)  # room for the legend
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=7.5, loc="upper right", frameon=False)

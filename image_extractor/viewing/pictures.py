"""Pictures of events: the arrays that a learner gets, beside the cameras they come from.

Axes stand at places given in inches, so that nothing overlaps or is cut off, for one telescope or forty.
"""

import math
import weakref
from dataclasses import dataclass

import numpy as np

from ..primaries import primary_name
from ..terminal.text_table import plural, printable
from ..times import utc_text
from . import overlays

#: Pixels per inch; lowered for pictures that would have a side of more than MAX_SIDE pixels.
DPI, MAX_SIDE = 100, 10_000
#: Colour bars: width, and distance from a panel [inch].
BAR, GAP = 0.09, 0.1
#: Height of a line of the title of an event [inch], and points of its letters.
LINE = 0.2
TITLE_SIZE = 10
#: Colour maps of charge, time and mask; what has no value is grey, cells without a pixel are white.
CHARGE_COLOURS, TIME_COLOURS, MASK_COLOURS, BELOW = "inferno", "viridis", "cividis", "0.85"


@dataclass(frozen=True)
class Style:
    """Sizes of the parts of a picture, in inches, and of letters, in points.

    Attributes
    ----------
    panel : float
        Side of a panel.
    left, right, bottom : float
        Room beside a panel for the numbers of its axes, of the colour bar, and below it.
    has_axes : bool
        Whether panels have axes; without them, a line says once what is left and right.
    title, label, number : float
        Points of the telescopes' titles, of labels and numbers.
    """

    panel: float
    left: float = 0.55
    right: float = 0.75
    bottom: float = 0.45
    has_axes: bool = True
    title: float = 9
    label: float = 7
    number: float = 6.5


#: For up to so many images panels are large, with axes; for more they stand close together.
MAX_DETAILED = 6
LARGE, SMALL = 3.4, 2.4
COMPACT = Style(panel=1.3, left=0.1, right=0.62, bottom=0.1, has_axes=False, title=8.5, label=8, number=7.5)
SIDES = "left: the array as stored, right: the camera"

#: What unsigned numbers are, and cameras of mappings that resample.
OF_UNSIGNED = " as stored, negative charges as 0"
AT_CENTRES = "the camera shows the cells at its pixels' centres"


def _style(n_images):
    """Return the Style of a picture of so many images."""
    if n_images > MAX_DETAILED:
        return COMPACT
    return Style(LARGE if n_images <= 2 else SMALL)


def save(figure, file, metadata=None):
    """Write a figure as PNG to a path or binary file, with a text for each keyword of the metadata."""
    side = max(figure.get_size_inches())
    figure.savefig(file, dpi=min(DPI, MAX_SIDE / side), format="png", metadata=metadata)


def events_figure(events, all_times=False):
    """Return the matplotlib Figure of one or more events, one below the other.

    For each telescope the stored array and the camera, for charge and, where stored, peak time and cleaning mask.

    Parameters
    ----------
    events : list of event_images.Event
    all_times : bool
        Draw peak times of all pixels; else of those with light.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    style = _style(sum(len(event.images) for event in events))
    blocks = [_Block.of(event, style, all_times) for event in events]
    n_columns = _columns([len(event.images) for event in events], [block.size for block in blocks])
    parts = [_EventPart(event, block, n_columns) for event, block in zip(events, blocks, strict=True)]
    width, height = max(part.width for part in parts), sum(part.height for part in parts)
    figure = Figure(figsize=(width, height))
    top = height
    for part in parts:
        part.draw(figure, top)
        top -= part.height
    return figure


def _columns(numbers, sizes):
    """Return how many telescopes stand beside each other: the picture is about as wide as high, with little room empty.

    numbers : list of int
        Images of each event.
    sizes : list of (width, height)
        Of the block of an image of each [inch].
    """
    width = max(width for width, _ in sizes)

    def cost(n_columns):
        lines = [-(-max(n, 1) // n_columns) for n in numbers]
        height = sum(n * size[1] for n, size in zip(lines, sizes, strict=True))
        empty = 1 - sum(numbers) / (n_columns * sum(lines))
        return abs(math.log(height / (n_columns * width))) + 2 * empty

    return min(range(1, max(*numbers, 1) + 1), key=cost)


class _EventPart:
    """The part of a figure that shows one event: a title and a grid of telescopes.

    Parameters
    ----------
    event : event_images.Event
    block : _Block
    n_columns : int
        Telescopes beside each other.
    """

    def __init__(self, event, block, n_columns):
        self._event, self._block, self._columns = event, block, n_columns
        self.width = n_columns * block.size[0]
        self._titles = _titles(event, self.width) + ([] if block.style.has_axes else _common_title(event, self.width))
        self._head = (len(self._titles) + 1) * LINE
        self.height = -(-len(event.images) // n_columns) * block.size[1] + self._head

    def draw(self, figure, top):
        """Draw the event below `top` [inch]."""
        width, height = figure.get_size_inches()
        place = 0.5 * self.width / width, (top - 0.12) / height
        style = {"fontsize": TITLE_SIZE, "linespacing": 1.3, "parse_math": False}
        figure.text(*place, "\n".join(self._titles), ha="center", va="top", **style)
        for position, image in enumerate(self._event.images):
            line, column = divmod(position, self._columns)
            corner = column * self._block.size[0], top - self._head - (line + 1) * self._block.size[1]
            self._block.draw(figure, image, corner)


def _common_title(event, width):
    """Return what is true of all images of an event, where their own titles have no room for it, as lines."""
    if not event.images:
        return []
    words = [SIDES]
    if any(image.stored.dtype.kind == "u" for image in event.images):
        words.append(f"sums{OF_UNSIGNED}")
    if not all(image.camera.is_lossless for image in event.images):
        words.append(f"resampled: {AT_CENTRES}")
    return _lines(words, width)


def _titles(event, width):
    """Return the truth of an event as lines that fit a figure of `width` inches."""
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
    return _lines(words, width)


def _lines(words, width):
    """Return facts as lines; blanks within one do not break, and 14 characters of this size fill an inch."""
    import textwrap

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
    style : Style
    n_lines : int
    n_titles : int
        Lines of the longest title.
    all_times : bool

    Attributes
    ----------
    size : (float, float)
        Width and height [inch].
    """

    def __init__(self, style, n_lines, n_titles, all_times):
        self.style, self._n_lines, self._all_times = style, n_lines, all_times
        width = 2 * (style.panel + style.left) + style.right
        self.size = width, n_lines * (style.panel + style.bottom) + (n_titles + 1) * LINE

    @classmethod
    def of(cls, event, style, all_times):
        """Return the block that has room for each image of an event."""
        n_lines = max((len(_quantities(image, all_times)) for image in event.images), default=1)
        titles = [_image_title(image, style) for image in event.images]
        return cls(style, n_lines, max((title.count("\n") + 1 for title in titles), default=1), all_times)

    def draw(self, figure, image, corner):
        """Draw a telescope's image with its lower left corner at `corner` [inch]."""
        style = self.style
        middle = corner[0] + (self.size[0] - style.right + style.left) / 2, corner[1] + self.size[1] - LINE / 2
        self._text(figure, middle, _image_title(image, style), style.title)
        for line, panels in enumerate(_quantities(image, self._all_times)):
            bottom = corner[1] + (self._n_lines - 1 - line) * (style.panel + style.bottom) + style.bottom
            left = corner[0] + style.left
            array_axes = self._axes(figure, left, bottom, style.panel)
            camera_axes = self._axes(figure, left + style.panel + style.left, bottom, style.panel)
            bar_axes = self._axes(figure, left + 2 * style.panel + style.left + GAP, bottom, BAR)
            draw_pair(array_axes, camera_axes, bar_axes, image.camera, *panels, style=style)
            if line == 0:
                overlays.draw(camera_axes, image)

    def _axes(self, figure, left, bottom, width):
        size = figure.get_size_inches()
        return figure.add_axes([left / size[0], bottom / size[1], width / size[0], self.style.panel / size[1]])

    @staticmethod
    def _text(figure, place, text, fontsize):
        size = figure.get_size_inches()
        figure.text(place[0] / size[0], place[1] / size[1], text, ha="center", va="top", fontsize=fontsize)


def _quantities(image, all_times):
    """Return [(array, pixels, name for the colour bar, colour map, limits of the colours or None), ...] of an image."""
    found = [(image.charge_array, image.charge, "charge [p.e.]", CHARGE_COLOURS, None)]
    if image.time_array is not None:
        found.append(_times(image, all_times))
    if image.mask_array is not None:
        name = "kept by the cleaning" if image.camera.is_lossless else "share kept by the cleaning"
        found.append((image.mask_array, image.mask.astype(float), name, MASK_COLOURS, (0, 1)))
    return found


def _times(image, all_times):
    """Return array, pixels, name, colours and limits of peak times; where there is no light they are NaN."""
    if all_times:
        return image.time_array, image.peak_time, "peak time [ns], of all", TIME_COLOURS, None
    lit = overlays.lit_pixels(image)
    array_lit = overlays.lit_cells(image, lit)
    times = np.where(lit, image.peak_time, np.nan)
    limits = _limits(times if image.camera.is_lossless else image.time_array[array_lit])
    return np.where(array_lit, image.time_array, np.nan), times, "peak time [ns]", TIME_COLOURS, limits


def _image_title(image, style):
    if not style.has_axes:
        title = f"{image.tel_type} {image.tel_id} · {image.camera.name}"
        return f"{title} · {_sum_of(image, '')}" if image.camera.is_lossless else title
    title = f"{image.tel_type} telescope {image.tel_id}, {image.camera.name}"
    if image.camera.is_lossless:
        return f"{title}, {_sum_of(image)}"
    # a sum over cells, or over the cells of pixels' centres, is not the charge of the image
    return f"{title}\nmapping {image.camera.attributes['mapping']}: {AT_CENTRES}"


def _sum_of(image, as_stored=OF_UNSIGNED):
    """Return the sum of an image's stored charges in words, and what it leaves out."""
    finite = image.charge[np.isfinite(image.charge)]
    words = f"{finite.sum():.0f} p.e." + (" after cleaning" if image.is_cleaned else "")
    if image.stored.dtype.kind == "u":
        words += as_stored
    if len(finite) < len(image.charge):
        words += f", {plural(len(image.charge) - len(finite), 'pixel')} not finite"
    return words


def draw_pair(array_axes, camera_axes, bar_axes, camera, array, pixels, quantity, colours, limits=None, style=COMPACT):
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
    style : Style
    """
    import matplotlib
    from matplotlib.ticker import MaxNLocator

    low, high = limits or _limits(pixels if camera.is_lossless else np.append(pixels, array[array != 0]))
    colour_map = matplotlib.colormaps[colours].with_extremes(under=BELOW, bad="white")
    # a cell at the edge may hold a part of a pixel although its centre is in none
    is_empty = ~camera.has_pixel(array.shape) & (np.nan_to_num(array) == 0)
    # image[x, y], so x to the right takes the transpose
    cells = np.ma.array(_grey_where_none(array, low), mask=is_empty).T
    picture = array_axes.imshow(cells, origin="lower", cmap=colour_map, vmin=low, vmax=high, interpolation="nearest")

    display = _camera_display(camera, _grey_where_none(pixels, low), camera_axes, colour_map)
    display.pixels.set_clim(low, high)
    display.pixels.set(edgecolor="face", linewidth=0.3)  # else the background shines through between pixels
    camera_axes.set_aspect("equal", "box")
    camera_axes.margins(0.02)
    camera_axes.autoscale_view()
    _label(array_axes, camera_axes, camera, style)
    if not np.isfinite(pixels).any():
        bar_axes.set_axis_off()
        middle = {"transform": array_axes.transAxes, "ha": "center", "va": "center"}
        array_axes.text(0.5, 0.5, "nothing above\nthe noise", fontsize=style.label, **middle)
        return
    bar = array_axes.figure.colorbar(picture, cax=bar_axes, extend="neither")
    bar.set_label(quantity, fontsize=style.label, labelpad=2)
    bar.locator = MaxNLocator(5)
    bar_axes.tick_params(labelsize=style.number, length=2.5, pad=1.5)


def _grey_where_none(values, low):
    """Return values with what is below the scale, and so grey, in the place of NaN and infinity."""
    return np.where(np.isfinite(values), values, low - 1)


def _label(array_axes, camera_axes, camera, style):
    """Write at the axes what they are, or take them away."""
    from matplotlib.ticker import MaxNLocator

    if not style.has_axes:
        for axes in (array_axes, camera_axes):
            axes.set(xticks=[], yticks=[], xlabel="", ylabel="")
        return
    angle = float(camera.attributes["axis_0_angle_deg"])
    turned = "" if abs(angle) < 0.05 else f", {angle:+.1f}° from camera x"
    array_axes.set_xlabel(f"array axis 0{turned}", fontsize=style.label, labelpad=2)
    array_axes.set_ylabel("array axis 1", fontsize=style.label, labelpad=2)
    camera_axes.set_xlabel("camera x [m]", fontsize=style.label, labelpad=2)
    camera_axes.set_ylabel("camera y [m]", fontsize=style.label, labelpad=2)
    for axes in (array_axes, camera_axes):
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5))  # as many numbers as fit beside each other
        axes.tick_params(labelsize=style.number, length=2.5, pad=1.5)


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

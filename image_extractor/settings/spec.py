"""The configspec: the only copy of the names, types and defaults of settings, with what is said of each."""

from ..energy_bins import UNITS

UNIT_NAMES = ", ".join(map(repr, UNITS))

MODES = "'PIXELS_3C', 'PIXELS_1C', 'PIXELS_TIMING_2C', 'PIXELS_TIMING_3C', 'PIXELS_MASK_2C', 'PIXELS_TIMING_MASK_3C'"

MAPPINGS = "'shifting', 'axial', 'oversampling', 'nearest', 'bilinear', 'bicubic', 'rebinning'"

SPEC = f"""\
# What a learner is to tell: gh_class sorts events by energy bin, energy_recon labels them with one.
mode = option('gh_class', 'energy_recon', default='gh_class')
# all: rows of Events hold the images of all telescopes; mapped: images are in arrays of their own, rows point there.
storage_mode = option('all', 'mapped', default='all')
# True: only events of the bins_cuts_dict are written, and a missing dictionary is an error.
use_pkl_dict = boolean(default=True)

[image]
# Channels: charge, then the peak time with TIMING, then the cleaning mask with MASK, else zeros.
mode = option({MODES}, default='PIXELS_3C')
# True: charges and peak times of pixels that the cleaning does not keep are stored as 0.
cleaned = boolean(default=False)
# Every pixel of the array becomes scale_factor x scale_factor equal ones.
scale_factor = integer(min=1, max=100, default=2)
# float32 holds p.e. and ns as they are. Integers hold round(value * scale), clipped and counted where it does not fit;
# unsigned ones hold negative charges as 0, and that is about every second pixel, as most see no light: counted, too.
dtype = option('uint16', 'uint32', 'int16', 'int32', 'float32', default='float32')
# Place of the channel axis.
dim_order = option('channels_last', 'channels_first', default='channels_last')
# Stored counts per photo-electron, for integer dtypes.
charge_scale = float(min=1e-6, max=1e6, default=100.0)
# Stored counts per nanosecond of peak time, for integer dtypes.
time_scale = float(min=1e-6, max=1e6, default=100.0)
# How a camera becomes a square array: shifting and axial keep its pixels, one per cell; the others resample it onto
# square cells in true x and y (oversampling and rebinning conserve charge, the others interpolate).
mapping = option({MAPPINGS}, default='shifting')
# auto, or cells per side for the mappings that resample.
shape = auto_or_integer(min=8, max=1000, default='auto')
    # Another mapping for single telescope types, cameras or optics, a line each, such as SST = shifting.
    [[mapping_of]]
    __many__ = option({MAPPINGS})
    # Another shape for single ones, a line each, such as LSTCam = 110.
    [[shape_of]]
    __many__ = auto_or_integer(min=8, max=1000)

[telescope]
# SST, LST, MST, SCT, ALL, the name of a camera or its optics, or several joined by +, such as LST+NectarCam.
type_mode = type_mode(default='SCT')
# Only these telescopes of the types above; empty: all of them.
tel_ids = tel_ids(default=list())

[calibration]
# Any ctapipe ImageExtractor. Its own settings go to a section of its name, below: [[NeighborPeakWindowSum]], and there
# window_width = 7.
extractor = string(min=1, max=100, default='NeighborPeakWindowSum')
# True: read by compiled loops and decode only what is needed. The images are the same, bit for bit.
fast = boolean(default=True)
    # Another extractor for single telescope types, cameras or optics, a line each: FlashCam = FlashCamExtractor.
    [[extractor_of]]
    __many__ = string(min=1, max=100)
    [[__many__]]
    __many__ = parameter

# A stereo trigger after the choice of telescopes, as ctapipe's SoftwareTrigger.
[trigger]
# Events in which fewer of the selected telescopes triggered are dropped.
min_telescopes = integer(min=1, max=1000, default=1)
# Fewest of a type, camera or ctapipe name, such as LST:2, MST:3: where fewer triggered, the event loses these.
min_telescopes_of_type = counts(default=list())

# Which pixels of an image have light: asked for by [parameters], [image_cuts], masks and cleaned images.
[cleaning]
# tailcuts: pixels above picture with so many neighbours above it, and their neighbours above boundary.
method = option('tailcuts', default='tailcuts')
# Photo-electrons. auto: ctapipe's, 8.5 for LST, 9 for NectarCam and FlashCam, 4 for ASTRI, and 4 where it has none.
picture = auto_or_float(min=0, max=1e6, default='auto')
# Photo-electrons. auto: half of the picture, as in ctapipe.
boundary = auto_or_float(min=0, max=1e6, default='auto')
# Neighbours above picture that a pixel above picture needs.
neighbours = integer(min=0, max=8, default=2)
    # Another picture for single telescope types, cameras or optics, a line each, such as LST = 6.
    [[picture_of]]
    __many__ = float(min=0, max=1e6)
    # Another boundary for single ones, a line each, such as LST = 3.
    [[boundary_of]]
    __many__ = float(min=0, max=1e6)
    # Other neighbours for single ones, a line each, such as SCT = 3.
    [[neighbours_of]]
    __many__ = integer(min=0, max=8)

[parameters]
# True: ctapipe's image parameters (hillas_..., timing_..., leakage_..., ...) are stored beside the images.
store = boolean(default=False)

# Images that fail are not stored: a line for each parameter, low, high for low <= value < high, None for an open end,
# such as hillas_intensity = 50, None. An image without parameters (no pixel left) fails every cut.
[image_cuts]
__many__ = cut

# Events that fail are dropped.
[event_cuts]
# Fewest images that an event keeps, after [trigger] and [image_cuts].
min_images = integer(min=1, max=1000, default=1)
# Fewest of a type, camera or ctapipe name, such as LST:2.
min_images_of_type = counts(default=list())
# True energy, TeV: low, high for low <= value < high, None for an open end.
true_energy = cut(default=list(None, None))
# Angle between the true direction and the array's pointing, degrees, likewise.
true_offset = cut(default=list(None, None))

# gh_class without a dictionary takes its bins of the true energy from here; a dictionary's bins must be among them.
[energy_bins]
# Unit of energy.
units = option({UNIT_NAMES}, default='TeV')
# log10: min, max and bin_size are those of the logarithm of the energy.
scale = option('log10', 'linear', default='log10')
# Lower edge of the first bin.
min = float(default=-1.0)
# Upper edge of the last bin.
max = float(default=1.0)
# Width of every bin: (max - min) must be a whole number of bins.
bin_size = float(default=0.5)
# What prepare_cuts_dict.py sorts by: ErecS, or a column of ctapipe's HDF5 files, such as RandomForestRegressor_energy.
column = string(min=1, max=100, default='ErecS')

# How showers are reconstructed of their images where no EventDisplay did it, and looked up in tables.
[reconstruction]
# Telescopes that take part, as in type_mode: all, also those whose images are not stored.
telescopes = type_mode(default='ALL')
# Images need a larger sum of the charges of their pixels, p.e. after [cleaning].
min_size = float(min=1, max=1e6, default=50.0)
# Fewest pixels of an image, after [cleaning].
min_pixels = integer(min=3, max=1000, default=5)
# Largest part of the charge in pixels at the camera's edge: of images of fewer than 10 pixels, and of others.
max_loss = fractions(default=list(0.1, 0.2))
# A cell of a lookup table is used with more entries than this;
min_entries = integer(min=0, max=1000000, default=10)
# others take in their neighbours, up to so many cells away.
widen = integer(min=0, max=20, default=4)
# Tables are those of a spectrum of this index, whatever was simulated.
spectral_index = float(min=-10, max=10, default=-2.0)

# What prepare_cuts_dict.py applies to events: low, high for low <= value < high; None is an open end. Columns that
# ctapipe wrote to HDF5 files may have a line each, such as RandomForestClassifier_prediction = 0.7, None.
[preselection_cuts]
# Mean scaled width.
MSCW = cut(default=list(-2.0, 2.0))
# Mean scaled length.
MSCL = cut(default=list(-2.0, 5.0))
# Reduced chi2 of the energies of the telescopes.
EChi2S = cut(default=list(0.0, None))
# Reconstructed energy, TeV.
ErecS = cut(default=list(0.0, None))
# Height of the shower maximum above the telescopes, km.
EmissionHeight = cut(default=list(0.0, 50.0))
# Two branches, then low, high of the root of the sum of their squares, degrees.
MC_Offset = offset_cut(default=list('MCxoff', 'MCyoff', 0.0, 3.0))
# Images used in the stereo reconstruction.
NImages = cut(default=list(3, None))
# Relative error of the energy.
dES = cut(default=list(0.0, None))
# Any column of ctapipe's.
__many__ = cut

[energy_recon]
# True: only gamma rays are stored in this mode.
gamma_only = boolean(default=True)
    # The label of an event is the bin of its true energy.
    [[bins]]
    # Unit of energy.
    units = option({UNIT_NAMES}, default='TeV')
    # log10: min, max and bin_size are those of the logarithm of the energy.
    scale = option('log10', 'linear', default='log10')
    # Lower edge of the first bin.
    min = float(default=-2.0)
    # Upper edge of the last bin.
    max = float(default=2.0)
    # Width of every bin: (max - min) must be a whole number of bins.
    bin_size = float(default=0.05)

[output]
# Compression of images and tables.
compression = option('lz4', 'zstd', 'zlib', 'none', default='lz4')
"""

"""What ctapipe's source of simtel files has no way to ask for; ctapipe itself stays as it is.

A source over a file that is open
    SimTelEventSource opens a path by itself. Upstream: it would take an open SimTelFile.
Inputs that are recorded for nobody
    It records its input where no activity is under way, too, and starts by listing all installed packages, for
    0.3 s. Upstream: Provenance would record nothing without an activity.
Steps under names of their own
    What makes an event of what eventio gives is private there: the methods of :class:`SourceOverFile` are the way
    to these steps, to be called or overridden. Upstream: the same, public.

Versions: see tested_versions.py. With others the source still works this way as long as its constructor uses
SimTelFile and Provenance, else a ConfigError says what to install; the fast reader is not used.
"""

from ctapipe.calib import CameraCalibrator
from ctapipe.core.provenance import Provenance
from ctapipe.image import ImageExtractor
from ctapipe.io import SimTelEventSource

from ...other_names import with_names


class SourceOverFile(SimTelEventSource):
    """ctapipe's source over a file that is open.

    Parameters
    ----------
    path : Path
    file : eventio.SimTelFile
        Open, its header read.
    """

    def __init__(self, path, file, **kwargs):
        names = {"SimTelFile": lambda *_, **__: file, "Provenance": _provenance}
        make = with_names("ctapipe", SimTelEventSource.__init__, **names)
        make(self, input_url=path, **kwargs)

    # -- what ctapipe calls, and who overrides it ----------------------------------------------------

    def _generator(self):
        return self.events()

    def _generate_events(self):
        return self.made_events()

    def _fill_simulated_event_information(self, array_event):
        return self.simulated_shower(array_event)

    def events(self):
        """Yield the events of the file, checked by ctapipe."""
        return super()._generator()

    def made_events(self):
        """Yield an ArrayEventContainer for each array event of eventio's."""
        return super()._generate_events()

    def simulated_shower(self, array_event):
        """Return ctapipe's SimulatedShowerContainer of an array event of eventio's."""
        return super()._fill_simulated_event_information(array_event)

    # -- what the fast reader asks -------------------------------------------------------------------

    def disabled_pixels(self, tel_id):
        """Return which pixels of a telescope are switched off, bool array (n_gains, n_pixels)."""
        return self._get_disabled_pixel_mask(tel_id)

    @property
    def has_true_images(self):
        """Whether the run was made with the true images in the file."""
        return self._has_true_image


class _Unrecorded:
    """Takes an input and records nothing."""

    def add_input_file(self, *_, **__):
        pass


def _provenance():
    """Return ctapipe's Provenance where a caller records an activity, else what records nothing."""
    provenance = Provenance()
    return _Unrecorded() if provenance.current_activity is None else provenance


#: What the fast reader relies on besides.
RELIED_ON = [
    *(
        (SimTelEventSource, name)
        for name in ("_generate_events", "_fill_simulated_event_information", "_get_disabled_pixel_mask")
    ),
    (CameraCalibrator, "_calibrate_dl1"),
    (ImageExtractor, "_calculate_correction"),
]

"""What eventio has no way to ask for; eventio itself stays as it is.

SimTelFile over objects that are read elsewhere
    It opens a file by itself, reads it whole in one run, and takes a cut for the end. Ours gets the objects of
    one run from run_objects.py, which notices cuts and passes over events that nobody wants.
    Upstream: SimTelFile would take an iterator of objects in the place of a path.
The bytes of an object
    Objects are parsed from a file object, piece by piece. The fast reader decodes them where they lie in memory.
    Upstream: objects would have a public buffer.
What is inside of events
    It makes an object of each object in an event, and parses it, wanted or not. The fast reader puts functions of its
    own in the place of those that do. Upstream: these would be methods.

Versions: see tested_versions.py. With others SimTelFile still works this way as long as its constructor calls
EventIOFile, else a ConfigError says what to install; the fast reader is not used.
"""

from eventio.simtel import simtelfile

from ...other_names import with_names


class RunFile(simtelfile.SimTelFile):
    """eventio's SimTelFile of one run.

    Parameters
    ----------
    path : Path
    objects : RunObjects
        Of the run, at its beginning.

    Attributes
    ----------
    objects : RunObjects
    """

    def __init__(self, path, objects):
        make = with_names("eventio", simtelfile.SimTelFile.__init__, EventIOFile=lambda *_, **__: objects)
        make(self, path, skip_calibration=True)
        self.objects = objects


class InMemory:
    """Makes the bytes of an EventIO object in memory known."""

    @property
    def memory(self):
        """The memory in which the object lies, bytes; it begins at `address`."""
        return self._filehandle.getvalue()  # not a view, which in an error's traceback crashes Python 3.12.1


def parsing_events_with(**functions):
    """Return SimTelFile's step to the next object, with these functions in the place of eventio's."""
    return with_names("eventio", simtelfile.SimTelFile._parse_next_object, **functions)


#: What the fast reader relies on besides.
RELIED_ON = [(simtelfile.SimTelFile, "_parse_next_object")]

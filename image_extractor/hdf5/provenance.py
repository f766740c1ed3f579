"""What made a file, and how: attributes of its root."""

import datetime
import importlib.metadata

from .. import config
from ..version import __version__
from . import schema


def versions():
    """Return the root attributes that say which software makes a file."""
    others = {f"{name}_version": importlib.metadata.version(name) for name in ("ctapipe", "eventio", "tables")}
    return {"format_version": schema.FORMAT_VERSION, "image_extractor_version": __version__, **others}


def provenance(settings):
    """Return the root attributes that say what made a file, and how."""
    return {
        "format": schema.FORMAT_NAME,
        **versions(),
        "config": config.dumps(settings),
        "utc_time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }

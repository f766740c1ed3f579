"""Simulated telescope events in, ready-to-train image datasets out.

The heavy imports wait until a name is used, so that ``--help`` answers at once.
"""

from typing import TYPE_CHECKING, Any

from .errors import ConfigError, DatasetError, InputError
from .version import __version__

if TYPE_CHECKING:
    from .image_extractor import ImageExtractor

__all__ = ["ConfigError", "DatasetError", "ImageExtractor", "InputError", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "ImageExtractor":
        from .image_extractor import ImageExtractor

        return ImageExtractor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

#!/usr/bin/env python
"""Convert simtel files to an image dataset: the command of the package image_extractor.

This script is named like the package. Python puts a script's own folder first on sys.path, so every
script that stands beside this one finds it when it asks for the package: it then steps aside.
"""

import importlib
import sys
from pathlib import Path


def import_package():
    """Import the package image_extractor in the place of this script."""
    here = Path(__file__).resolve().parent
    path = sys.path[:]
    sys.path[:] = [entry for entry in path if Path(entry or ".").resolve() != here]
    sys.modules.pop("image_extractor", None)
    try:
        return importlib.import_module("image_extractor")
    finally:
        sys.path[:] = path


if __name__ == "__main__":
    import_package()
    from image_extractor.commands.convert import main

    sys.exit(main())
elif __name__ == "image_extractor":
    sys.modules[__name__] = import_package()

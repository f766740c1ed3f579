"""``python -m image_extractor`` is the command image_extractor.py."""

import sys

from .commands.convert import main

if __name__ == "__main__":
    sys.exit(main())

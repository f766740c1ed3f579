#!/usr/bin/env python3
"""Select events of EventDisplay's mscw files, or of simtel files: the bins_cuts_dict for image_extractor.py."""

import sys

from image_extractor.commands.prepare_cuts_dict import main

if __name__ == "__main__":  # which worker processes import, too
    sys.exit(main())

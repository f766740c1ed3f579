#!/usr/bin/env python3
"""Make lookup tables of gammas, with which prepare_cuts_dict.py selects events without EventDisplay."""

import sys

from image_extractor.commands.make_lookup_tables import main

if __name__ == "__main__":  # which worker processes import, too
    sys.exit(main())

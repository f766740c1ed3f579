#!/usr/bin/env python3
"""Select events of EventDisplay's mscw files: the bins_cuts_dict for image_extractor.py."""

import sys

from image_extractor.mscw import main

sys.exit(main())

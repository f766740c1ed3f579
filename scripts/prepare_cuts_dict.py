#!/usr/bin/env python3
"""Select events of EventDisplay's mscw files: the bins_cuts_dict for image_extractor.py."""

import sys

from image_extractor.commands.prepare_cuts_dict import main

sys.exit(main())

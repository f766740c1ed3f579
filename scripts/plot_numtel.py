#!/usr/bin/env python
"""Show how many telescopes have an image of an event."""

import sys

from image_extractor.commands.plot_numtel import main

sys.exit(main())

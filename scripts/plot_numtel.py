#!/usr/bin/env python
"""Show how many telescopes have an image of an event."""

import sys

from image_extractor.numtel import main

sys.exit(main())

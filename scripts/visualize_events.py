#!/usr/bin/env python
"""Draw events of a dataset, one PNG each."""

import sys

from image_extractor.commands.visualize_events import main

sys.exit(main())

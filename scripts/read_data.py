#!/usr/bin/env python
"""Show what is in a dataset, its first rows, or whether it is sound."""

import sys

from image_extractor.commands.read_data import main

sys.exit(main())

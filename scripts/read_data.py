#!/usr/bin/env python
"""Show what is in a dataset, its first rows, or whether it is sound."""

import sys

from image_extractor.dataset_report import main

sys.exit(main())

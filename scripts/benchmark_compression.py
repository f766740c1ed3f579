#!/usr/bin/env python3
"""Measure size and speed of image arrays by compression and chunk."""

import sys

from image_extractor.compression_benchmark import main

if __name__ == "__main__":
    sys.exit(main())

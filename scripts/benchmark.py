#!/usr/bin/env python3
"""Measure how long conversion takes, beside ctapipe's own ways through the same file."""

import sys

from image_extractor.benchmark import main

if __name__ == "__main__":
    sys.exit(main())

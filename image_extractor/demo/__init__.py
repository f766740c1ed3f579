"""Synthetic showers, and the bytes of their sim_telarray files: for learners, newcomers and tests."""

from .write import SETTINGS, check_settings, write_demo_file

__all__ = ["SETTINGS", "check_settings", "write_demo_file"]

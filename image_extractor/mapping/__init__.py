"""Pixels of cameras to arrays: pure functions."""

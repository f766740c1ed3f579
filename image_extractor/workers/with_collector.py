"""Imported last by the process that workers are forked from: whatever it forks has a garbage collector again."""

from .collector import freeze

freeze()

"""Imported first by the process that workers are forked from."""

from .start_up import begin

begin()

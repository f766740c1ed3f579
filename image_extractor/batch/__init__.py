"""Many files: tasks, resume, merge, shuffle and split, outputs, and what fits together."""

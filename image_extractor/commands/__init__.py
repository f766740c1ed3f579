"""The commands: arguments, one call, exit code."""

"""What tests have in common: made inputs, readers that are not ours, runs of the command."""

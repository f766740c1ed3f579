"""What events come from."""

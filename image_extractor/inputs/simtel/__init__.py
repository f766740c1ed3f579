"""sim_telarray files."""

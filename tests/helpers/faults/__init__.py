"""Runs that are disturbed, and what is counted of them."""

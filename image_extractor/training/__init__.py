"""Samples, batches and weights of datasets for frameworks."""

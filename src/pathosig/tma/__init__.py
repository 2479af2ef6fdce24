"""Tissue microarrays: finding cores, labelling rows and columns."""

"""Tissue microarrays: finding the cores and numbering their rows and columns."""

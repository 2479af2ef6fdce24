"""The readers of slide formats and the modules that they share."""

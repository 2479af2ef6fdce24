"""One file per way of reading pixels."""

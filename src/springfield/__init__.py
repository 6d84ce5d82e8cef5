"""Springfield: a reproducible pipeline from cartoon frames to a character classifier."""

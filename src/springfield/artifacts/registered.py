"""How a registered model names its data set and its files."""

PREFIX = "springfield-"
"""Of registered models; the name of the data set follows."""
HASH = "sha256."
"""Tag of a version that holds the SHA-256 of a file, whose name follows."""

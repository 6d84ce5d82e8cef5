"""Out of archives: files found, labelled, and decoded."""

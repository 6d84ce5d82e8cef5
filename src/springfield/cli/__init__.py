"""The `springfield` command. It imports everything and is imported by nothing."""

"""Which sample is on which side of the split, and in which batch."""

"""Samples that are pictures: from archives to batches."""

"""Samples that are series: values at regular times."""

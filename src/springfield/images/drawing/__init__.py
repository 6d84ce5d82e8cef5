"""For pages and plots."""

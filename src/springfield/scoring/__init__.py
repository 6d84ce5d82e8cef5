"""Statistics that know no task."""

"""What DVC runs: a module a stage, those of a task in its folder."""

"""Where is who: boxes with a class each."""

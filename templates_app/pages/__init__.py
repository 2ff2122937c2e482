"""Pages about templates and their versions."""

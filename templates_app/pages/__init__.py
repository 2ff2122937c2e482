"""Pages of templates and versions."""

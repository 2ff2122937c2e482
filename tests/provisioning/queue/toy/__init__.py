"""An app that adds a job kind of its own: what it takes is what is here, and its name in two settings."""

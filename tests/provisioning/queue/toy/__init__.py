"""An app that adds a kind of jobs of its own: what it takes is what is here, and its name in two settings."""

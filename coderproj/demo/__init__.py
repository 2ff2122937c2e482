"""The demonstration: the main workflow end to end, over the REST API of a running server."""

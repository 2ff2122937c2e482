"""The demonstration: the main job end to end, over the REST API of a running server."""

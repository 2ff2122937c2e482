"""API views of identity."""

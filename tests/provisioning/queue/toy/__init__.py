"""A test app with its own job kind. Besides this package it needs only an entry in two settings."""

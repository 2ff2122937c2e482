"""Endpoints of templates, versions and dry runs."""

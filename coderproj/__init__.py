"""The Django project: settings, routes, identity and the API plumbing that both apps stand on."""

__version__ = "0.1.0"

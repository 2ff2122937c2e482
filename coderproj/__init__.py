"""The Django project: settings, routes, identity and the shared parts of the API that both apps build on."""

__version__ = "0.1.0"

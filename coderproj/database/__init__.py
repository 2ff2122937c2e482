"""Django's PostgreSQL backend with live pooled connections, and prepared statements."""

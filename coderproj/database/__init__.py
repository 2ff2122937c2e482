"""Django's PostgreSQL backend with pooled connections that are known to be alive."""

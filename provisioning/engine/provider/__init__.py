"""Terraform providers that we serve ourselves: the wire protocol, a generic provider and ``coder/coder``.

This package must not be imported where a process forks without ``exec``: gRPC's threads do not survive that.
"""

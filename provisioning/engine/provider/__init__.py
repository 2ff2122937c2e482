"""Terraform providers that this application serves: the wire protocol, a generic provider and ``coder/coder``.

A process that forks without ``exec`` must not import this package: gRPC's threads do not survive a fork.
"""

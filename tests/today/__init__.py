"""Replay of what the command line and the Terraform provider of 2025 and 2026 send: ``python -m tests.today``."""

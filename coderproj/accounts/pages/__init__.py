"""Pages of identity: accounts, users, groups, organizations, tokens, the audit log."""

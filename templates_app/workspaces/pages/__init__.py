"""Pages of workspaces and their builds."""

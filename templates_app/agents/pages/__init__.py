"""What pages of workspaces show of agents."""

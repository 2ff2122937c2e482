"""The console: the shell that the pages of all apps stand in. Pages themselves belong to the apps."""

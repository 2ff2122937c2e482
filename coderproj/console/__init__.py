"""The console: the shell that the pages of all apps share. The pages themselves belong to the apps."""

"""The console: what the pages of all apps share. The pages themselves belong to the apps."""

"""The files that operators take as they are: they fit the code, and each other."""

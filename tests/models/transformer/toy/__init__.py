"""A transformer as small as they come: the three files that the shared verbs ask for, and its program."""

"""The tasks: where their files lie, how they are read, what their labels are."""

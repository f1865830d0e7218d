"""A model on disk: its config, variables, checkpoints, folder, and what it costs."""

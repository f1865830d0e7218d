"""The rooms of the project: what the scripts beside this folder are made of."""

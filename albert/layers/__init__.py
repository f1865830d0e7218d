"""What graphs are built of: layers, activations, their precision, fusion and recomputation."""

"""From texts to answers and vectors, fast."""

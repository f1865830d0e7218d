"""From text to token ids, and vocabularies."""

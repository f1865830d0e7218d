"""From raw text to pre-training records."""

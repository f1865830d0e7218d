"""Models in other programs' formats, and back."""

"""What stands on the encoder, a file for each kind of answer."""

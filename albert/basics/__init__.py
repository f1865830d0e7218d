"""What every room stands on: errors, files, the command line, the machine, TensorFlow versions."""

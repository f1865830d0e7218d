"""From a task's files to a trained model, its scores and its predictions."""

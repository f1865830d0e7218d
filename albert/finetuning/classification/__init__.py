"""Fine-tuning classifiers and regressions: features, scores, files, pictures."""

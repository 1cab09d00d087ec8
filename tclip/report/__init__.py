"""One page on a run: accuracy, bytes, layers, training, other models, and what both models find."""

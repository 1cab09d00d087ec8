"""The embedded default: drawn scenes with captions, a small CLIP trained on them, a picture of the result."""

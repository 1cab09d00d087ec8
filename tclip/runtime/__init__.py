"""Fast inference with a packed CLIP, without torch."""

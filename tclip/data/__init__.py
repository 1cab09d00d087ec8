"""Image-text pairs and evaluation sets: one reader a kind of source."""

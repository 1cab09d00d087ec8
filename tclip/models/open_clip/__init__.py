"""Models in open_clip's layout, turned into the classes of transformers that compute the same."""

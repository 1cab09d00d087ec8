"""Measuring how fast a packed CLIP answers, beside other ways to run it."""

"""Where a CLIP comes from, what its towers are, which of its weights may be ternary."""

"""The recipe: one YAML document that drives the whole pipeline."""

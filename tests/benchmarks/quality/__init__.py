"""What is left of a CLIP's accuracy: recipes x budgets x presets x data x seeds."""

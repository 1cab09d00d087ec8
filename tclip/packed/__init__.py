"""The folder format that every stage's result is written in."""

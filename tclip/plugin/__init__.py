"""What makes stock transformers load and save packed folders."""

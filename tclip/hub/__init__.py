"""To the Hugging Face Hub and back: what is published of a run, its model card, sending, fetching."""

"""What a CLIP can do: zero-shot classification and retrieval, in CLIP_benchmark's terms."""

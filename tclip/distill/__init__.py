"""Quantization-aware training that learns from a teacher."""

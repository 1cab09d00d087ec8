"""Ternarization without training: codes and scales that keep each layer's output."""

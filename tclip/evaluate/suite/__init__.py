"""Many data sets at once: the 41 tasks of CLIP_benchmark, averages, two models beside each other."""

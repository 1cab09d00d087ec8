"""The number system: codes, scales, quantizers, base-3 bytes. Knows torch and nothing else."""

"""The engine: one thread that owns MLX, a queue in front of it, and nothing else."""

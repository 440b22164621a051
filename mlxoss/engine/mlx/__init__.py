"""The batch on MLX: what the engine's thread computes, and with how much memory."""

"""GPT-OSS on MLX behind OpenAI's endpoints, as a background service."""

__version__ = "0.1.0"

"""Ollama's API as a thin door to chat completions, for programs that know nothing else."""

"""The conversations that the demo model learns from."""

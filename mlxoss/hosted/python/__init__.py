"""The tool ``python``: cells that the model writes, run in a sandbox (see the README)."""

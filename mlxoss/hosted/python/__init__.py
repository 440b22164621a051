"""The tool ``python``: cells that the model writes, run in a sandbox. Its README says what holds."""

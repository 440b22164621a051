"""Tools that OpenAI names and that the client runs: how they are shown, and their items."""

"""OpenAI's JSON on one side, Harmony's conversation and events on the other. Pure."""

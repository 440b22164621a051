"""The browser that GPT-OSS was trained with: search, open, find."""

"""What was computed for prompts, kept for those that begin alike: in memory and on disk."""

"""What most prompts begin with: counted, and computed before it is asked for."""

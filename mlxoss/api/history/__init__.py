"""What a client's history holds: exact turns, sealed reasoning, tool loops, attachments."""

"""Attached files as text: PDF and plain text, and from public addresses where that is allowed."""

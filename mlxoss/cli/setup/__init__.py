"""The commands that install, start and stop the service."""

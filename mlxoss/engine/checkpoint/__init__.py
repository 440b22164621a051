"""A model on the disk: found, checked by its headers alone, and read into memory."""

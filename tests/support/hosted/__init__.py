"""What tests of tools that the server runs share."""

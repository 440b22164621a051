"""What ``mlxoss serve`` runs: the daemon's parts put together, and how it ends."""

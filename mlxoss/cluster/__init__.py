"""Several machines that serve one model: their hostfile, and the checks of it."""

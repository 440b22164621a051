"""How the demo model was made; not part of the installed package."""

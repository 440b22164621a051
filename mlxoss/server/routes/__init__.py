"""The endpoints of the APIs, a file or a folder each, named as in ``mlxoss.api``."""

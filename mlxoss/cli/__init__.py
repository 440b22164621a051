"""The ``mlxoss`` command."""

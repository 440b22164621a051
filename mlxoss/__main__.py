"""``python -m mlxoss`` is ``mlxoss``."""

from mlxoss.cli.main import main

if __name__ == "__main__":
    main()

"""`python -m windlass` is the `windlass` command."""

from windlass.cli import main

if __name__ == "__main__":  # worker processes import this file again under another name
    main()

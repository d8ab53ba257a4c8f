"""``python -m autotrack``."""

from autotrack.cli.main import main

if __name__ == "__main__":
    main()

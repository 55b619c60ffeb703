"""`python -m queuepool` is the `queuepool` command."""

from queuepool.cli.main import main

if __name__ == "__main__":
    main()

"""`python -m lehi_cli`."""

from lehi_cli.cli import main

if __name__ == "__main__":
    main()

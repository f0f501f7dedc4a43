"""`python -m hanok` is the `hanok` command."""

from hanok.cli import main

if __name__ == "__main__":
    main()

"""The command line: one file a command; each parses, calls a flow and prints."""

from __future__ import annotations


def main() -> None:
    """Run the command line; the entry point of the `hanok` script."""
    from hanok.cli.app import build_app

    build_app()()

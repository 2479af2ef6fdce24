"""The entry point of the program. It handles signals before anything else is imported."""

from __future__ import annotations

from typing import NoReturn

from pathosig.core.signals import end_at_once


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line; at any moment, Ctrl-C ends it with exit code 130 and SIGTERM with 143."""
    end_at_once()
    from pathosig.commands.cli import main as run

    run(argv)

"""`pathosig completion`: what a shell needs to complete commands and flags."""

from __future__ import annotations

from typing import Literal


def completion(shell: Literal["bash", "zsh", "fish"], /) -> str:
    """Print a script that completes commands and flags in your shell.

    Write it to a file once: for bash ~/.local/share/bash-completion/completions/pathosig, for zsh a file _pathosig in a
    folder of $fpath, for fish ~/.config/fish/completions/pathosig.fish.

    Parameters
    ----------
    shell
        bash | zsh | fish.

    Returns
    -------
    str
        The script.

    Examples
    --------
    >>> "pathosig" in completion("bash")
    True
    """
    from pathosig.commands.cli import full_app  # the table of commands imports this module by name

    return full_app().generate_completion(shell=shell)

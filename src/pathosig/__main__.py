"""`python -m pathosig`."""

from pathosig.commands.cli import main

main()

"""`python -m pathosig`."""

from pathosig.cli import main

main()

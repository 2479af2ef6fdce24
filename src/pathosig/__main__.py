"""`python -m pathosig`."""

from pathosig.commands.start import main

main()

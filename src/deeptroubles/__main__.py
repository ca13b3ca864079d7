"""Run the command line with `python -m deeptroubles`."""

from deeptroubles.cli import main

main()

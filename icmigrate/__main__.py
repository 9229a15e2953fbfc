"""`python -m icmigrate` is the program `icmigrate`."""

from icmigrate.cli import main

main()

"""Plumbing: `python -m icmigrate`."""

from icmigrate.cli import main

main()

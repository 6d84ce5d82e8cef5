"""`python -m springfield`: the same as `springfield`."""

from springfield.cli import main

main()

"""`python -m springfield`: the same as `springfield`."""

from springfield.cli.main import main

main()

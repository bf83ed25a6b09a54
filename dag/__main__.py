"""`python -m dag` is `dag-pose`."""

from dag.cli import main

main()

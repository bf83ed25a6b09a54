"""`python -m dag` is `dag-pose`."""

from dag.cli.main import main

main()

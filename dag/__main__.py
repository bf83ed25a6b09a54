"""`python -m dag` runs `dag-pose`."""

from dag.cli.main import main

main()

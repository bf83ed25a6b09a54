"""The command line `dag-pose`, one module per group of commands."""

"""The command `dag-pose`, one module for each group of commands."""

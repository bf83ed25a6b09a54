"""Human parsing: part maps of persons from annotated masks or from segmentation networks (`dag.parsing.load`)."""

"""Human parsing: which pixels are a person, which part of the body, and which person."""

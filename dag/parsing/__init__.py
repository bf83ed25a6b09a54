"""Human parsing: which pixels belong to a person, and to which part of the body."""

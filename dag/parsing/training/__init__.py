"""Training of the CE2P human parser on label maps."""

"""From label maps to a trained CE2P parser."""

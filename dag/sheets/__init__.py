"""Contact sheets: small images on one page, for a person to check a stage's output. No stage depends on them."""

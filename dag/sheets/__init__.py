"""Contact sheets: small images on one page for the visual inspection of a stage's output. No stage depends on them."""

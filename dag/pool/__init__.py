"""Instance pool: people cut out of the training images, with the quality of every candidate."""

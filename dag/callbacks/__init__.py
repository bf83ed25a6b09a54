"""Lightning callbacks of every training loop: curves, progress, resumable state, stop on signals."""

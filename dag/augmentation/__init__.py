"""Data (D): mask joints, instance paste, and the geometric and photometric transforms of training samples."""

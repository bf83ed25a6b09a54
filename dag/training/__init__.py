"""From cached crops to a trained model."""

"""Training on the device: steps, what feeds them, their checkpoints and their features."""

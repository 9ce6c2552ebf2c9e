"""Predicting with the early exit, and with the final exit where the early one is not sure."""

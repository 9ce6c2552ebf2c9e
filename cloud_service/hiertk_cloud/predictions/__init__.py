"""Predictions that devices ask for."""

"""Devices' requests that want an answer: where they come in, wait for their turn, and go out."""

"""Who may speak to the broker: a small CA, the devices it knows, and the broker's files."""

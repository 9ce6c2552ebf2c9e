"""Care of the machine that a device trains on: its priority, its memory, its heat."""

"""From the broker to the durable log: limits, checks, commits, and the answers to devices."""

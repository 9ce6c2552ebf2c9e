"""From the durable log to the final exit: batches, the learner, and its checkpoints."""

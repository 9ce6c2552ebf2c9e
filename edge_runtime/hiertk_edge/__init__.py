"""What runs on the device: learner, spool, uplink, agent. Never imports the toolkit."""

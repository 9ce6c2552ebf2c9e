"""What a device tells of itself: to the cloud, the terminal, systemd, and `hiertk-edge status`."""

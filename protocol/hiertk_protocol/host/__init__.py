"""What every long-running program of HierTK has to do with its host: settings, secrets, systemd."""

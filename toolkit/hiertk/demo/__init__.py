"""The whole system on one machine: broker, cloud, devices, real images."""

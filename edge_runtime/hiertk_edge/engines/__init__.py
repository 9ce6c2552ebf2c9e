"""The engines that train an edge partition on a device, each behind the one `Learner`."""

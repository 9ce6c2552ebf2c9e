"""The contract between toolkit, devices, cloud and phone: messages, topics, codec, bundle."""

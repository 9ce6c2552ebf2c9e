"""What hierarchical training is compared with: full-cloud training and split learning over MQTT."""

"""Hierarchical training as it is deployed: `hiertk-edge run` and `hiertk-cloud serve`, observed."""

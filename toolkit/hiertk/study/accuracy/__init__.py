"""The study of accuracy: both exits at every separation point, against full-cloud training."""

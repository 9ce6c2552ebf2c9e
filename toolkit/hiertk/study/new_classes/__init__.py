"""The study of new classes: learned one after the other, and what is forgotten meanwhile."""

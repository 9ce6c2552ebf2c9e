"""The study of runtime: ways of training side by side, in real processes over a shaped link."""

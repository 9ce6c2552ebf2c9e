"""The classes of a deployment: who has which slot, since when, and what it was called before."""

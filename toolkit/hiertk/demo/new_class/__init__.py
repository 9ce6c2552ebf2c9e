"""The demo of a new class: held back at first, then named, and taught by a few labelled images."""

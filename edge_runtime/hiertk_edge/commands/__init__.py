"""The commands of hiertk-edge, one module each."""

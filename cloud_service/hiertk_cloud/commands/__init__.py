"""The commands of hiertk-cloud, one module each."""

"""`python -m hiertk` is `hiertk`."""

from hiertk.cli import main

main()

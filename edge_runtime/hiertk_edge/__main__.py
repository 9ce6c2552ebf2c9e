"""`python -m hiertk_edge`."""

from hiertk_edge.cli import main

main()

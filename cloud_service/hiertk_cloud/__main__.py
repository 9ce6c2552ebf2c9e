"""`python -m hiertk_cloud`: the same as `hiertk-cloud`."""

from hiertk_cloud.cli import main

main()

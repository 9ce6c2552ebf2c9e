"""What `hiertk-edge doctor` looks at, beside the configuration's own rules."""

from hiertk_edge.checks.run import run_checks

__all__ = ["run_checks"]

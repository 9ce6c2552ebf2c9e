"""What `hiertk-cloud check` looks at, beside the configuration's own rules."""

from hiertk_cloud.checks.run import run_checks

__all__ = ["run_checks"]

"""`hiertk-cloud` with a clock: prints a JSON line with the time of every optimizer step.

python -m benchmarks.overlap_cloud serve ...: the arguments of hiertk-cloud.
"""

from hiertk.study.runtime.telling import tell_each_step
from hiertk_cloud.cli import main

if __name__ == "__main__":
    tell_each_step()
    main()

"""A compiler from ATen operators to one XNNPACK delegate: the whole training step in one graph."""

import hiertk.export.executorch_import  # noqa: F401  # before anything else imports it
from hiertk.export.xnnpack.translate import translate

__all__ = ["translate"]

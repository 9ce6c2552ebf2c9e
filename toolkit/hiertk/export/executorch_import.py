"""Importing ExecuTorch's exporter without what it says about its own future while it loads."""

import logging
import warnings

for _chatty in ("executorch", "torch.utils._pytree"):
    logging.getLogger(_chatty).setLevel(logging.ERROR)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import executorch.exir  # noqa: F401

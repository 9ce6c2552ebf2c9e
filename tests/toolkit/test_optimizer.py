"""Which optimizer a bundle gets, and that the reference is PyTorch's own."""

import pytest
import torch
from hiertk.export import ExportSettings
from hiertk.export.optimizer import OptimizerFlags, choose_optimizer, torch_optimizer
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import AdamW, Backend, OptimizerInfo, Sgd, Target
from networks import resnet18_sides


@pytest.mark.parametrize(
    ("target", "backend", "wanted"),
    [
        ("linux", "onnxruntime", AdamW()),
        ("android", "onnxruntime", AdamW()),
        ("linux", "torch", AdamW()),
        ("rpi", "torch", AdamW()),
        ("linux", "executorch", Sgd()),
        ("rpi", "executorch", Sgd()),
        ("android", "executorch", Sgd()),
    ],
)
def test_every_backend_has_its_default(
    target: Target, backend: Backend, wanted: OptimizerInfo
) -> None:
    assert choose_optimizer(OptimizerFlags(), target, backend) == wanted


def test_flags_set_what_the_optimizer_has() -> None:
    flags = OptimizerFlags("sgd", 0.1, momentum=0.5, weight_decay=0.01, nesterov=True)
    wanted = Sgd(learning_rate=0.1, momentum=0.5, weight_decay=0.01, nesterov=True)
    assert choose_optimizer(flags, "linux", "torch") == wanted
    flags = OptimizerFlags(learning_rate=0.1, weight_decay=0.01)
    wanted_adamw = AdamW(learning_rate=0.1, weight_decay=0.01)
    assert choose_optimizer(flags, "linux", "onnxruntime") == wanted_adamw
    assert choose_optimizer(OptimizerFlags("adamw"), "rpi", "executorch") == AdamW()


ONLY_ADAMW = (
    "backend onnxruntime on linux trains with adamw: leave it, or take --backend executorch"
)
ONLY_SGD = "backend executorch on android trains with sgd: leave it, or take --backend onnxruntime"


@pytest.mark.parametrize(
    ("flags", "target", "backend", "message"),
    [
        (OptimizerFlags("adam"), "linux", "torch", "--optimizer adam: choose from adamw, sgd"),
        (OptimizerFlags("sgd"), "linux", "onnxruntime", ONLY_ADAMW),
        (OptimizerFlags("adamw"), "android", "executorch", ONLY_SGD),
        (OptimizerFlags(momentum=0.5), "linux", "torch", "--momentum: adamw has none"),
        (OptimizerFlags(nesterov=True), "linux", "onnxruntime", "--nesterov: adamw has none"),
        (OptimizerFlags(learning_rate=0), "linux", "torch", "--learning-rate: Input should be gr"),
        (OptimizerFlags("sgd", momentum=1), "rpi", "torch", "--momentum: Input should be less"),
        (OptimizerFlags("sgd", momentum=0, nesterov=True), "rpi", "torch", "needs a momentum"),
    ],
)
def test_what_a_backend_or_optimizer_has_not_is_refused(
    flags: OptimizerFlags, target: Target, backend: Backend, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        choose_optimizer(flags, target, backend)
    assert "\n" not in str(raised.value)


def test_the_reference_has_the_manifests_hyper_parameters() -> None:
    edge = resnet18_sides(1).edge
    sgd = torch_optimizer(edge, Sgd(learning_rate=0.2, momentum=0.3, weight_decay=0.4))
    assert isinstance(sgd, torch.optim.SGD)
    (group,) = sgd.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.2, 0.3, 0.4)
    assert (group["dampening"], group["nesterov"]) == (0, False)
    adamw = torch_optimizer(edge, AdamW(beta1=0.5, epsilon=1e-3))
    assert isinstance(adamw, torch.optim.AdamW)
    (group,) = adamw.param_groups
    assert (group["lr"], group["betas"], group["eps"]) == (1e-3, (0.5, 0.999), 1e-3)


@pytest.mark.parametrize(
    ("target", "backend"),
    [("linux", "onnxruntime"), ("android", "onnxruntime"), ("rpi", "executorch")],
)
def test_every_target_has_its_default_backend(target: str, backend: str) -> None:
    settings = ExportSettings(model="resnet18", split=1, target=target, classes=("a",))
    assert settings.chosen_backend == backend

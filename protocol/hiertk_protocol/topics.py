"""MQTT topics: everything lies below `hiertk/v1/{deployment}/`."""

import re
from dataclasses import dataclass

from hiertk_protocol.errors import ConfigError

_DEVICE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def is_device_name(name: str) -> bool:
    """Return whether the name can stand in a topic, a file name and a certificate."""
    return _DEVICE_NAME.fullmatch(name) is not None and name != "down"


def check_device_name(name: str) -> str:
    """Return the name if it is usable. Raises ConfigError otherwise."""
    if not is_device_name(name):
        raise ConfigError(
            f"device name {name[:80]!r} is not usable: take 1 to 63 of a-z, 0-9 and '-', "
            "beginning and ending with a letter or digit, and not 'down'"
        )
    return name


@dataclass(frozen=True)
class Topics:
    """The topics of one deployment."""

    deployment: str

    @property
    def root(self) -> str:
        return f"hiertk/v1/{self.deployment}"

    def features(self, device: str) -> str:
        return f"{self.root}/{device}/up/features"

    def status(self, device: str) -> str:
        return f"{self.root}/{device}/up/status"

    def ack(self, device: str) -> str:
        return f"{self.root}/{device}/down/ack"

    def predict(self, device: str) -> str:
        return f"{self.root}/{device}/up/predict"

    def predict_reply(self, device: str) -> str:
        return f"{self.root}/{device}/down/predict"

    def class_request(self, device: str) -> str:
        return f"{self.root}/{device}/up/classes"

    def class_reply(self, device: str) -> str:
        return f"{self.root}/{device}/down/classes"

    @property
    def class_map(self) -> str:
        return f"{self.root}/down/classes"

    @property
    def model(self) -> str:
        return f"{self.root}/down/model"

    def device_of(self, topic: str) -> str | None:
        """Return the device that a topic belongs to; None for a topic of no device."""
        prefix = f"{self.root}/"
        if not topic.startswith(prefix):
            return None
        device, _, rest = topic[len(prefix) :].partition("/")
        return device if is_device_name(device) and rest.startswith(("up/", "down/")) else None

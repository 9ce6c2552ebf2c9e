"""The two processes of a cell, as command lines: a baseline's, or the deployed programs'."""

import sys
from pathlib import Path
from typing import Any

import tomli_w

from hiertk.slow_link import SlowLink
from hiertk.study.runtime.baselines.role import Role
from hiertk.study.runtime.materials import Materials
from hiertk.study.runtime.records import CellKey, Cut
from hiertk.study.runtime.settings import REPLAY_PASSES, WAYS, RuntimeSettings, Way

_PACKAGE = "hiertk.study.runtime"
_DRAIN_S = 3600.0


class Processes:
    """Of one cell. folder: for its state, and for snapshots where accuracy is asked for."""

    def __init__(
        self,
        key: CellKey,
        settings: RuntimeSettings,
        materials: Materials,
        link: SlowLink,
        folder: Path,
    ) -> None:
        self._key = key
        self._way = WAYS[key.way]
        self._settings = settings
        self._materials = materials
        self._link = link
        self._folder = folder
        self.snapshots = folder / "snapshots" if settings.levels else None

    @property
    def passes(self) -> int:
        """How often the cloud trains on each message."""
        return passes_of(self._way, self._settings)

    def cloud(self) -> list[str]:
        """Return the command line of the cloud."""
        if self._way.payload:
            command = self._baseline("cloud", self._link.cloud_broker)
        else:
            command = self._hierarchical("cloud", self._cloud_config())
        return [*self._link.cloud_prefix, *command]

    def device(self) -> list[str]:
        """Return the command line of the device."""
        if self._way.payload:
            command = self._baseline("device", self._link.device_broker)
        else:
            command = self._hierarchical("device", self._device_config())
        return [*self._link.device_prefix, *command]

    @property
    def _every(self) -> int:
        """Steps from one snapshot to the next: two for an epoch."""
        return max(1, self._settings.batches // 2)

    def _baseline(self, side: str, broker: str) -> list[str]:
        settings, split = self._settings, None if self._key.cut is None else self._key.cut.split
        assert self._way.payload is not None
        role = Role(
            broker=broker,
            payload=self._way.payload,
            model=settings.model,
            classes=self._materials.classes,
            input=settings.input,
            split=split,
            batch_size=settings.batch_size,
            batches=settings.batches,
            epochs=settings.epochs,
            rate=settings.rate,
            precision=settings.precision,
            seed=settings.seed,
            images=self._materials.images(),
            cache=self._folder,
            weights=None if split is None else self._materials.edge_weights(split),
            snapshots=self.snapshots,
            every=self._every,
        )
        return [sys.executable, "-m", f"{_PACKAGE}.baselines.{side}", role.model_dump_json()]

    def _hierarchical(self, side: str, config: dict[str, Any]) -> list[str]:
        path = self._folder / f"{side}.toml"
        path.write_text(tomli_w.dumps(config), encoding="utf-8")
        snapshots = [] if self.snapshots is None else [str(self.snapshots)]
        module = f"{_PACKAGE}.hierarchical.{side}"
        return [sys.executable, "-m", module, str(path), str(self._every), *snapshots]

    def _device_config(self) -> dict[str, Any]:
        settings, cut = self._settings, self._cut
        return {
            "bundle": str(self._materials.bundle(cut).absolute()),
            "device": "device",
            "state": str((self._folder / "device").absolute()),
            "data": f"folder:{self._materials.images().absolute()}",
            "broker": {"url": self._link.device_broker},
            "training": {
                "epochs": settings.epochs,
                "schedule": self._way.schedule,
                "seed": settings.seed,
                "drain_timeout_s": _DRAIN_S,
            },
            "uplink": {"bits": cut.bits},
            "care": {"nice": 0, "max_temperature_c": 0.0},  # as the baselines
        }

    def _cloud_config(self) -> dict[str, Any]:
        settings, way = self._settings, self._way
        return {
            "bundle": str(self._materials.bundle(self._cut).absolute()),
            "state": str((self._folder / "cloud").absolute()),
            "broker": {"url": self._link.cloud_broker},
            "trainer": {
                "replay": way.replay,
                "schedule": way.cloud_schedule,
                "passes": max(2, self.passes),
                "learning_rate": settings.rate,
                "precision": settings.precision,
                "seed": settings.seed,
                "threads": 1,
            },
        }

    @property
    def _cut(self) -> Cut:
        assert self._key.cut is not None
        return self._key.cut


def passes_of(way: Way, settings: RuntimeSettings) -> int:
    """Return how often the cloud trains on each message of hierarchical training."""
    if way.cloud_schedule == "stream":
        return 1
    return settings.epochs if way.schedule == "edge-first" else REPLAY_PASSES

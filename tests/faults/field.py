"""A deployment that faults can happen to: a broker, a service, and devices behind links."""

import signal
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path

from hiertk.brokers import MosquittoBroker
from hiertk.data import load, write_image_folder
from hiertk.demo.processes import Child, Children
from hiertk.export import ExportSettings, export_bundle
from hiertk.link import ShapedLink
from hiertk_protocol.bundle import Bundle

FACTORY = "faults.small_network:network"
DEVICES = ("pi-1", "pi-2", "pi-3")
IMAGES = 320
BATCH_SIZE = 32
_DISK_BYTES = 1 << 30


class SmallDisk:
    """A file system of its own in memory for the service's state, to be filled up; needs root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def mount(self) -> None:
        self.folder.mkdir()
        size = f"size={_DISK_BYTES}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", self.folder], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", self.folder], check=True)

    def fill(self) -> None:
        """Leave no byte free."""
        with self._ballast.open("wb") as file, suppress(OSError):
            while True:
                file.write(bytes(16 << 20))
                file.flush()

    def empty(self) -> None:
        self._ballast.unlink(missing_ok=True)


class Field:
    """Everything runs once it is entered, and ends when it is left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = MosquittoBroker(folder / "broker")
        self.links = {name: ShapedLink(self.broker.url) for name in DEVICES}
        self.disk = SmallDisk(folder / "disk")
        self._children = Children(folder)
        self._running: dict[str, Child] = {}
        self._open = ExitStack()

    def __enter__(self) -> "Field":  # noqa: PYI034
        with ExitStack() as opened:
            self.bundle = self._export()
            self.disk.mount()
            opened.callback(self.disk.unmount)
            opened.enter_context(self.broker)
            for link in self.links.values():
                opened.enter_context(link)
            opened.enter_context(self._children)
            self._open = opened.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()

    @property
    def state(self) -> Path:
        """The service's state folder."""
        return self.disk.folder / "state"

    def is_running(self, name: str) -> bool:
        child = self._running.get(name)
        return child is not None and child.process.poll() is None

    def exit_code(self, name: str) -> int | None:
        return self._running[name].process.poll()

    def start_service(self) -> None:
        self._start(
            "service", "hiertk_cloud", "serve",
            "--bundle", str(self.bundle.folder), "--factory", FACTORY,
            "--broker", self.broker.url, "--state", str(self.state), "--api", "",
            "--config", str(self.folder / "cloud.toml"), "--json",
        )  # fmt: skip

    def start_device(self, name: str, *, epochs: int = 1_000_000) -> None:
        self._start(
            name, "hiertk_edge", "run",
            "--bundle", str(self.bundle.folder), "--broker", self.links[name].url,
            "--device", name, "--state", str(self.folder / name),
            "--data", f"folder:{self.folder / 'images' / name}", "--epochs", str(epochs),
            "--batch-size", str(BATCH_SIZE), "--checkpoint-every", "10",
            "--checkpoint-seconds", "0", "--json",
        )  # fmt: skip

    def kill(self, name: str) -> None:
        """End a process with SIGKILL."""
        self._running[name].process.send_signal(signal.SIGKILL)
        self._running[name].process.wait()

    def end(self, name: str) -> int:
        """Ask a process to end, and return its exit code."""
        self._running[name].process.send_signal(signal.SIGTERM)
        return self._running[name].process.wait(30)

    def service_said(self, event: str) -> int:
        """Return how many lines of an event all services wrote."""
        logs = self.folder.glob("service.*.log")
        return sum(log.read_text().count(f'"event": "{event}"') for log in logs)

    def last_words(self) -> list[str]:
        """Return the end of what each of the newest processes said."""
        return [
            f"{name}: {line}"
            for name, child in self._running.items()
            for line in child.log.read_text(errors="replace").splitlines()[-3:]
        ]

    def _start(self, name: str, module: str, *arguments: str) -> None:
        number = len(self._children.started)
        self._running[name] = self._children.start(f"{name}.{number}", module, *arguments)

    def _export(self) -> Bundle:
        train = load("fashion-mnist-mini", "train")
        exported = export_bundle(
            ExportSettings(
                model=FACTORY,
                split=2,
                target="linux",
                classes=train.classes,
                input_size=32,
                out=self.folder / "bundle",
            )
        )
        for number, name in enumerate(DEVICES):
            places = range(number * IMAGES, (number + 1) * IMAGES)
            write_image_folder(train, places, self.folder / "images" / name)
        (self.folder / "cloud.toml").write_text(
            "[trainer]\nlearning_rate = 1e-3\nreplay = 1\ncheckpoint_every = 50\nstale_after = 0\n"
            "[log]\nreserve_mib = 0\n"
        )
        return exported.bundle

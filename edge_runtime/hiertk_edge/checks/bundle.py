"""Whether the bundle is whole, and its engine here trains it as the reference does."""

from pathlib import Path

from hiertk_protocol.bundle import Bundle, open_bundle
from hiertk_protocol.host.file_checks import advice_on_access
from hiertk_protocol.signature import fingerprint
from hiertk_protocol.trust import trusted_key

from hiertk_edge.engines.backends import open_learner
from hiertk_edge.golden import verify_golden

UNIT = "hiertk-edge@.service"


class BundleCheck:
    """Opens the bundle once, for what follows from it."""

    def __init__(self, path: Path, public_key: Path | None) -> None:
        self._path = path
        self._public_key = public_key
        self.opened: Bundle | None = None

    def look(self) -> str:
        """Verify checksums and, if one is asked for, the signature. Raises HiertkError."""
        key = trusted_key(self._public_key)
        self.opened = open_bundle(self._path, key)
        manifest = self.opened.manifest
        signer = "" if key is None else f", signed by {fingerprint(key)}"
        return (
            f"deployment {manifest.deployment}, {manifest.model.name} at separation point "
            f"{manifest.model.split}{signer}{advice_on_access(self._path, UNIT)}"
        )


def look_at_engine(bundle: Bundle, *, threads: int, quick: bool) -> str:
    """Open the engine and, unless `quick`, train the golden steps on it. Raises HiertkError."""
    engine = bundle.manifest.engine
    name = f"{engine.backend} {engine.version}"
    if quick:
        open_learner(bundle, threads=threads)
        return f"{name} opens the bundle"
    checks = verify_golden(bundle)
    return f"{name} trains as the reference does: {len(checks)} checks"

"""From a configuration to a running service, with its API."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hiertk_protocol.bundle import Bundle, open_bundle
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.signature import read_public_key

from hiertk_cloud.config import CloudConfig
from hiertk_cloud.ingest.limits import Limits
from hiertk_cloud.log import Retention
from hiertk_cloud.opening import open_service
from hiertk_cloud.report import Reporter
from hiertk_cloud.service import CloudService
from hiertk_cloud.settings import ServiceSettings
from hiertk_cloud.training.learner import CloudLearner
from hiertk_cloud.training.trainer import TrainerSettings

_DAY_S = 86_400
_GIB = 1 << 30


def run_service(config: CloudConfig, reporter: Reporter) -> None:
    """Run the configured service until it is interrupted. Raises HiertkError."""
    from hiertk.models import load_cloud_partition

    _refuse_state_of_ranks(config.state)
    bundle = open_configured_bundle(config)
    module = load_cloud_partition(bundle, trusted_factory=config.factory)
    with (
        open_service(
            bundle.manifest,
            module,
            broker=config.broker.address,
            state=config.state,
            settings=settings_of(config),
            reporter=reporter,
        ) as service,
        _api(config, bundle, service, reporter) as each_second,
    ):
        service.run(each_second)


def open_configured_bundle(config: CloudConfig) -> Bundle:
    """Open the bundle, signed as the configuration asks. Raises BundleError, ConfigError."""
    key = config.signing.public_key
    return open_bundle(config.bundle, None if key is None else read_public_key(key))


def settings_of(config: CloudConfig) -> ServiceSettings:
    """Return the service's settings, in its own units. Raises ConfigError for a bad secret."""
    log, limits, trainer = config.log, config.limits, config.trainer
    max_bytes = int(log.max_gib * _GIB) or None
    return ServiceSettings(
        learning_rate=trainer.learning_rate,
        precision=trainer.precision,
        threads=trainer.threads,
        trainer=TrainerSettings(
            replay=trainer.replay,
            replay_window=trainer.replay_window,
            replay_balance=trainer.replay_balance,
            logit_adjustment=trainer.logit_adjustment,
            imprint=trainer.imprint,
            checkpoint_every=trainer.checkpoint_every,
            seed=trainer.seed,
            schedule=trainer.schedule,
            passes=trainer.passes,
        ),
        stale_after=trainer.stale_after,
        limits=Limits(
            message_bytes=limits.message_kib << 10,
            messages_per_s=limits.messages_per_s,
            bytes_per_s=limits.bytes_per_s,
            log_bytes=int(limits.log_share * max_bytes) if max_bytes else None,
        ),
        retention=Retention(
            max_bytes=max_bytes,
            max_age_s=int(log.max_days * _DAY_S) or None,
            replay_window=trainer.replay_window,
        ),
        reserve_bytes=log.reserve_mib << 20,
        credentials=config.broker.credentials(),
    )


def _refuse_state_of_ranks(state: Path) -> None:
    if (state / "rank-0").exists():
        raise ConfigError(
            f"{state} holds the state of a group of processes: start it with torchrun "
            "(docs/several-processes.md), or choose another --state"
        )


@contextmanager
def _api(
    config: CloudConfig, bundle: Bundle, service: CloudService, reporter: Reporter
) -> Iterator[Callable[[], None]]:
    """Serve the API, if there is one; yield what the service is to call each second."""
    if not config.api.listen:
        yield lambda: None
        return
    # FastAPI and uvicorn are loaded only where they serve.
    from hiertk_cloud.api.history import History
    from hiertk_cloud.api.models import router
    from hiertk_cloud.api.server import ApiServer
    from hiertk_cloud.model_files import CloudWeights, ModelFiles

    def weights() -> CloudWeights:
        return service.between_steps(copy_weights)

    def copy_weights(learner: CloudLearner) -> CloudWeights:
        tensors = {
            name: value.clone() for name, value in learner.average.module.state_dict().items()
        }
        return CloudWeights(service.view.snapshot().progress.cloud_step, tensors)

    files = ModelFiles(
        bundle.manifest, weights, folder=config.state / "conversion", trusted_factory=config.factory
    )
    history = History(config.state / "history.sqlite", tell=reporter.say)
    server = ApiServer(
        service.view, config.api.listen, config.api.token(), history, routers=[router(files)]
    )
    try:
        server.start()
        reporter.say("api", f"dashboard and API: {server.url}", url=server.url)
        yield lambda: history.record(service.view)
    finally:
        server.stop()
        history.close()

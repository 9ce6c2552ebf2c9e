"""All checks of a device in their order; one that is wrong hides no other."""

from collections.abc import Iterator
from pathlib import Path

from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.broker_checks import check_broker, nobodys_topic
from hiertk_protocol.host.checks import Check, attempt
from hiertk_protocol.host.config_checks import check_secret, check_values, path_of, section_of
from hiertk_protocol.host.config_sources import Sources, read_sources
from hiertk_protocol.host.file_checks import look_at_state
from hiertk_protocol.host.secret_files import read_secret
from hiertk_protocol.host.sections import BrokerConfig, SigningConfig
from hiertk_protocol.topics import Topics, is_device_name

from hiertk_edge.checks.bundle import BundleCheck, look_at_engine
from hiertk_edge.checks.images import look_at_data, look_at_stream
from hiertk_edge.checks.machine import (
    look_at_clock,
    look_at_disk,
    look_at_memory,
    look_at_temperature,
)
from hiertk_edge.checks.network import look_at_way
from hiertk_edge.config import (
    PROGRAM,
    CareConfig,
    EdgeConfig,
    EndpointConfig,
    RehearsalConfig,
    SpoolConfig,
    TrainingConfig,
)


def run_checks(path: Path | None, *, offline: bool, quick: bool) -> list[Check]:
    """Look at a configuration, at all that it names, and at the machine.

    path: the file; None: the default one. offline: leave the broker alone. quick: train nothing.
    """
    try:
        sources = read_sources(EdgeConfig, PROGRAM, path, {})
    except ConfigError as error:
        return [Check(what="configuration", ok=False, text=str(error))]
    # What is wrong in one section does not keep the others from being looked at.
    return [
        *check_values(EdgeConfig, sources),
        *_named(sources, offline=offline, quick=quick),
    ]


def _named(sources: Sources, *, offline: bool, quick: bool) -> Iterator[Check]:
    values = sources.merged
    opened: Bundle | None = None
    bundle = path_of(values.get("bundle"))
    signing = section_of(sources, "signing", SigningConfig)
    if bundle is not None and signing is not None:
        check = BundleCheck(bundle, signing.public_key)
        yield attempt("bundle", check.look)
        opened = check.opened
        yield attempt("clock", lambda: look_at_clock(bundle))
    if opened is not None:
        yield from _of_engine(sources, opened, quick=quick)
        yield from _of_data(sources, opened)
    yield from _of_streams(values.get("streams"), opened)
    yield from _of_state(sources)
    yield from _of_endpoint(sources)
    broker = section_of(sources, "broker", BrokerConfig)
    if broker is not None:
        yield from _of_broker(broker, _own_topic(values.get("device"), opened), offline=offline)


def _of_engine(sources: Sources, bundle: Bundle, *, quick: bool) -> Iterator[Check]:
    training = section_of(sources, "training", TrainingConfig) or TrainingConfig()
    threads = training.threads
    yield attempt("engine", lambda: look_at_engine(bundle, threads=threads, quick=quick))
    care = section_of(sources, "care", CareConfig)
    if care is not None:
        backend, limit = bundle.manifest.engine.backend, care.max_memory_mib
        limit_c = care.max_temperature_c
        yield attempt("memory", lambda: look_at_memory(backend, limit_mib=limit))
        yield attempt("temperature", lambda: look_at_temperature(limit_c))


def _of_data(sources: Sources, bundle: Bundle) -> Iterator[Check]:
    classes = sources.merged.get("classes")
    accepts_new = isinstance(classes, dict) and classes.get("new") == "accept"
    for name in ("data", "held_out"):
        text = sources.merged.get(name)
        if isinstance(text, str):
            yield _check_data(name, text, bundle, accepts_new=accepts_new)


def _check_data(name: str, text: str, bundle: Bundle, *, accepts_new: bool) -> Check:
    return attempt(name, lambda: look_at_data(text, bundle, accepts_new=accepts_new))


def _of_streams(streams: object, bundle: Bundle | None) -> Iterator[Check]:
    for text in streams if isinstance(streams, list | tuple) else ():
        if isinstance(text, str):
            yield _check_stream(text, bundle)


def _check_stream(text: str, bundle: Bundle | None) -> Check:
    return attempt("stream", lambda: look_at_stream(text, bundle))


def _of_state(sources: Sources) -> Iterator[Check]:
    device = sources.merged.get("device")
    state = path_of(sources.merged.get("state") or f"hiertk-edge-{device}")
    if state is None:
        return
    yield attempt("state folder", lambda: look_at_state(state))
    spool = section_of(sources, "spool", SpoolConfig)
    rehearsal = section_of(sources, "rehearsal", RehearsalConfig)
    if spool is not None and rehearsal is not None:
        largest = spool.max_mib + rehearsal.max_mib
        yield attempt("free disk", lambda: look_at_disk(state, largest_mib=largest))


def _of_endpoint(sources: Sources) -> Iterator[Check]:
    endpoint = section_of(sources, "endpoint", EndpointConfig)
    token_file = endpoint.token_file if endpoint is not None and endpoint.listen else None
    if token_file is not None and token_file.exists():
        yield check_secret("endpoint token", token_file, lambda: read_secret(token_file))


def _of_broker(broker: BrokerConfig, topic: str, *, offline: bool) -> Iterator[Check]:
    if not offline:
        way = attempt("way to broker", lambda: look_at_way(broker))
        yield way
        offline = not way.ok
    yield from check_broker(broker, topic, offline=offline)


def _own_topic(device: object, bundle: Bundle | None) -> str:
    if isinstance(device, str) and is_device_name(device) and bundle is not None:
        return Topics(bundle.manifest.deployment).ack(device)
    return nobodys_topic()

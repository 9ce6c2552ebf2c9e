"""All checks of a configuration in their order; one that is wrong hides no other."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.config_sources import Sources, problems_of, read_sources
from hiertk_protocol.host.secret_files import read_secret
from pydantic import BaseModel, TypeAdapter, ValidationError

from hiertk_cloud.checks import files
from hiertk_cloud.checks.broker import reach_broker
from hiertk_cloud.checks.record import Check, attempt
from hiertk_cloud.config import ApiConfig, BrokerConfig, CloudConfig, LogConfig, SigningConfig

_Section = TypeVar("_Section", bound=BaseModel)


def run_checks(path: Path | None, *, offline: bool) -> list[Check]:
    """Look at a configuration and at all that it names.

    path: the file; None: the default one. offline: leave the broker alone.
    """
    try:
        sources = read_sources(CloudConfig, path, {})
    except ConfigError as error:
        return [Check(what="configuration", ok=False, text=str(error))]
    problems = problems_of(CloudConfig, sources)
    checks = [Check(what="configuration", ok=False, text=problem) for problem in problems]
    if not problems:
        checks.append(Check(what="configuration", ok=True, text=sources.file_name))
    # What is wrong in one section does not keep the others from being looked at.
    return [*checks, *_named(sources, offline=offline)]


def _named(sources: Sources, *, offline: bool) -> Iterator[Check]:
    values = sources.merged
    bundle, state = _path(values.get("bundle")), _path(values.get("state"))
    signing = _section(sources, "signing", SigningConfig)
    if bundle is not None and signing is not None:
        key, factory = signing.public_key, values.get("factory")
        yield attempt("bundle", lambda: files.look_at_bundle(bundle, key, factory))
    log = _section(sources, "log", LogConfig)
    if state is not None:
        yield attempt("state folder", lambda: files.look_at_state(state))
        if log is not None:
            yield attempt("free disk", lambda: files.look_at_disk(state, log.reserve_mib))
    api = _section(sources, "api", ApiConfig)
    if api is not None and api.token_file is not None:
        yield _secret("API token", api.token_file, api.token)
    broker = _section(sources, "broker", BrokerConfig)
    if broker is not None:
        yield from _of_broker(broker, offline=offline)


def _of_broker(broker: BrokerConfig, *, offline: bool) -> Iterator[Check]:
    checks = []
    if broker.password_file is not None:
        path = broker.password_file
        checks.append(_secret("broker password", path, lambda: read_secret(path)))
    if broker.ca is not None:
        ca = broker.ca
        checks.append(attempt("broker CA", lambda: files.look_at_certificates(ca)))
    if broker.certificate is not None and broker.key is not None:
        certificate, key = broker.certificate, broker.key
        checks.append(attempt("certificate", lambda: files.look_at_pair(certificate, key)))
    yield from checks
    if not offline and all(check.ok for check in checks):
        yield attempt("broker", lambda: reach_broker(broker))


def _secret(what: str, path: Path, read: Callable[[], object]) -> Check:
    def look() -> str:
        read()
        return str(path)

    return attempt(what, look)


def _section(sources: Sources, name: str, kind: type[_Section]) -> _Section | None:
    try:
        return kind.model_validate(sources.merged.get(name, {}))
    except ValidationError:
        return None


def _path(value: object) -> Path | None:
    try:
        return TypeAdapter(Path).validate_python(value) if value else None
    except ValidationError:
        return None

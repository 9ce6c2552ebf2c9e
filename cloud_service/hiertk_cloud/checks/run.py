"""All checks of a configuration in their order; one that is wrong hides no other."""

from collections.abc import Iterator
from pathlib import Path

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.broker_checks import check_broker, nobodys_topic
from hiertk_protocol.host.checks import Check, attempt
from hiertk_protocol.host.config_checks import check_secret, check_values, path_of, section_of
from hiertk_protocol.host.config_sources import Sources, read_sources
from hiertk_protocol.host.file_checks import look_at_state
from hiertk_protocol.host.sections import BrokerConfig, SigningConfig

from hiertk_cloud.checks.files import look_at_bundle, look_at_disk
from hiertk_cloud.config import PROGRAM, ApiConfig, CloudConfig, LogConfig


def run_checks(path: Path | None, *, offline: bool) -> list[Check]:
    """Look at a configuration and at all that it names.

    path: the file; None: the default one. offline: leave the broker alone.
    """
    try:
        sources = read_sources(CloudConfig, PROGRAM, path, {})
    except ConfigError as error:
        return [Check(what="configuration", ok=False, text=str(error))]
    # What is wrong in one section does not keep the others from being looked at.
    return [*check_values(CloudConfig, sources), *_named(sources, offline=offline)]


def _named(sources: Sources, *, offline: bool) -> Iterator[Check]:
    values = sources.merged
    bundle, state = path_of(values.get("bundle")), path_of(values.get("state"))
    signing = section_of(sources, "signing", SigningConfig)
    if bundle is not None and signing is not None:
        key, factory = signing.public_key, values.get("factory")
        yield attempt("bundle", lambda: look_at_bundle(bundle, key, factory))
    log = section_of(sources, "log", LogConfig)
    if state is not None:
        yield attempt("state folder", lambda: look_at_state(state))
        if log is not None:
            yield attempt("free disk", lambda: look_at_disk(state, log.reserve_mib))
    api = section_of(sources, "api", ApiConfig)
    if api is not None and api.token_file is not None:
        yield check_secret("API token", api.token_file, api.token)
    broker = section_of(sources, "broker", BrokerConfig)
    if broker is not None:
        yield from check_broker(broker, nobodys_topic(), offline=offline)

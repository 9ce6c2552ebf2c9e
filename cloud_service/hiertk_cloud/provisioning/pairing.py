"""Letting a phone in: it has no folder to copy files to, so a pairing code tells it everything.

A phone gets a password and no certificate: either way the code is a secret, and so it is half as
long. Nothing of it is kept here but the password's hash.
"""

from cryptography.hazmat.primitives.serialization import Encoding
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.pairing import Pairing, encode_ca
from hiertk_protocol.toml_file import first_problem
from pydantic import ValidationError

from hiertk_cloud.provisioning.authority import Authority
from hiertk_cloud.provisioning.broker_files import BrokerChange
from hiertk_cloud.provisioning.devices import broker_url, commit, new_password, renewed
from hiertk_cloud.provisioning.mosquitto import hash_password
from hiertk_cloud.provisioning.names import check_new_device
from hiertk_cloud.provisioning.registry import Registry


def draft_pairing(
    authority: Authority, registry: Registry, name: str, *, deployment: str | None
) -> Pairing:
    """Return what a phone will be told, with a new password; nothing is changed yet.

    deployment: None for the one that it had. Raises ConfigError or StorageError.
    """
    check_new_device(name, registry.broker_hosts)
    before = registry.devices.get(name)
    if before is not None and before.revoked is None and before.kind == "certificate":
        raise ConfigError(
            f"{name} has a certificate, which a pairing code would end: choose another name"
        )
    deployment = deployment or (before.deployment if before else None)
    if deployment is None:
        raise ConfigError("say which deployment the phone is for: --bundle or --deployment")
    ca = authority.issuer().certificate.public_bytes(Encoding.DER)
    try:
        return Pairing(
            broker=broker_url(registry, "password"),
            device=name,
            deployment=deployment,
            password=new_password(),
            ca=encode_ca(ca),
        )
    except ValidationError as error:
        # An address with a zone, such as fe80::1%eth0, or a CA that was put there by hand.
        raise ConfigError(
            f"a phone cannot be told this: {first_problem(error)}: another --broker-host or CA"
        ) from None


def admit(authority: Authority, registry: Registry, pairing: Pairing) -> BrokerChange:
    """Let the phone of a pairing in; a password that it had ends. Raises StorageError."""
    device = renewed(registry.devices.get(pairing.device), "password", pairing.deployment)
    device = device.model_copy(update={"password": hash_password(pairing.password)})
    _, change = commit(authority, registry.with_device(pairing.device, device))
    return change

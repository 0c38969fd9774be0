"""The secrets of a platform: made once in the home, and given to each service as far as it may know them."""

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from scrip.errors import PlatformError
from scrip.home import Home, write_private

WRITERS = ("gateway", "core", "adapter", "scheduler")


@dataclass(frozen=True)
class Knowledge:
    """Which secrets a service's folder holds beside the service token."""

    writers: tuple[str, ...]
    files: tuple[str, ...]


# A writer's key both signs and verifies, so each service knows its own and those it must check. Tools write
# to all command topics; their keys follow from the tool master key, which the gateway needs to hand them
# out.
KNOWLEDGE = {
    "gateway": Knowledge(("gateway",), ("tool-master.key", "kek.json", "admin-token")),
    "coupon_core": Knowledge(WRITERS, ("tool-master.key", "code-keys.json")),
    "merchant_adapter": Knowledge(("adapter", "gateway", "scheduler"), ("tool-master.key", "kek.json")),
    "scheduler": Knowledge(("scheduler", "gateway"), ("tool-master.key",)),
}


def ensure_secrets(home: Home, service: str) -> Path:
    """The service's own folder of secrets (0700, files 0600), made and completed as needed."""
    knowledge = KNOWLEDGE[service]
    home.secrets.mkdir(mode=0o700, exist_ok=True)
    folder = home.secrets / service
    folder.mkdir(mode=0o700, exist_ok=True)
    keys = {writer: {"1": kept_key(home, f"writer-{writer}.key")} for writer in knowledge.writers}
    write_private(folder / "writers.json", json.dumps(keys))
    write_private(folder / "service-token", home.secret("service-token"))
    for name in knowledge.files:
        write_private(folder / name, content(home, name))
    return folder


def content(home: Home, name: str) -> str:
    match name:
        case "admin-token":
            return home.secret(name)
        case "tool-master.key":
            return kept_key(home, name)
        case "kek.json":
            return json.dumps({"1": kept_key(home, "kek.key")})
        case "code-keys.json":
            return json.dumps(code_keys(home))
    raise ValueError(f"There is no secret {name}.")


def code_keys(home: Home) -> dict[str, str]:
    """The keys of generated codes by version. A version, once there, is needed as long as its codes are."""
    kept = {"1": kept_key(home, "code-keys.key")}
    for version in range(2, 32):
        if (home.secrets / f"code-keys-{version}.key").is_file():
            kept[str(version)] = kept_key(home, f"code-keys-{version}.key")
    return kept


def add_code_key(home: Home) -> int:
    """Make the next version of the code key; its number. Services know it once they are started again."""
    version = max(int(known) for known in code_keys(home)) + 1
    if version > 31:
        raise PlatformError("A code names its key by one symbol: there are 31 versions at most.")
    kept_key(home, f"code-keys-{version}.key")
    return version


def kept_key(home: Home, name: str) -> str:
    """32 random bytes in base64, made at the first call."""
    home.secrets.mkdir(mode=0o700, exist_ok=True)
    return home.kept(f"secrets/{name}", lambda: base64.b64encode(secrets.token_bytes(32)).decode())

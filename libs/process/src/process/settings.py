"""What every service reads from its environment, and the files of secrets beside it."""

import base64
import binascii
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

ENVIRONMENT_PREFIX = "SCRIP_"
KEY_BYTES = 32


class ServiceSettings(BaseSettings):
    """Each service subclasses this with its own fields; built once at start by `read_settings`."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, frozen=True, extra="ignore")

    database_url: str = Field(
        repr=False,
        description="PostgreSQL address of the service's own role; the role's search_path is its schema.",
        examples=["postgresql://core@127.0.0.1:5432/scrip"],
    )
    kafka_bootstrap: str = Field(
        description="Kafka brokers as host:port, separated by commas.", examples=["127.0.0.1:9092"]
    )
    http_host: str = Field(default="127.0.0.1", description="Address the HTTP server listens on.")
    http_port: int = Field(ge=0, le=65535, description="Port of the HTTP server; 0 picks a free one.")
    secrets_dir: Path = Field(description="Folder with the key and token files this process may read.")
    partitions: int = Field(
        default=64,
        ge=1,
        le=1024,
        description="Number of lanes, which is the number of partitions of the command and event topics.",
    )
    instance: int = Field(
        default=0,
        ge=0,
        description="Index of this process among its kind; gateway i reads partition i of coupon.replies.",
    )
    profile: Literal["production", "local"] = Field(
        default="production", description="`local` permits what is refused in production, such as told time."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="JSON lines for machines, or coloured lines for a person."
    )
    core_url: str | None = Field(default=None, description="Base address of coupon-core's read API.")
    adapter_url: str | None = Field(default=None, description="Base address of merchant-adapter's read API.")
    scheduler_url: str | None = Field(default=None, description="Base address of the scheduler's read API.")

    @property
    def linger_seconds(self) -> float:
        """How long to go on serving after SIGTERM with readiness 503, so that load balancers turn away."""
        return 0.0 if self.profile == "local" else 4.0


Settings = TypeVar("Settings", bound=BaseSettings)


def read_settings(settings_class: type[Settings]) -> Settings:
    """Read the settings from the environment; ends the process (exit code 1) with one line per wrong one.

    Values are never printed: they may hold a password.
    """
    try:
        return settings_class()
    except ValidationError as error:
        lines = [f"{settings_class.__module__}: the environment does not hold the settings needed."]
        for problem in error.errors(include_input=False, include_url=False):
            name = "_".join(str(part) for part in problem["loc"])
            field = settings_class.model_fields.get(name)
            meaning = f" ({field.description})" if field is not None and field.description else ""
            lines.append(f"  {ENVIRONMENT_PREFIX}{name.upper()}: {problem['msg']}{meaning}")
        sys.exit("\n".join(lines))


class SecretUnreadable(Exception):
    """A secret file is missing or is not what it should be; the message names the file, never its content."""


@dataclass(frozen=True)
class Secrets:
    """The files of `secrets_dir`, read anew at each call, so that a rotated file is seen."""

    directory: Path

    def writer_keys(self) -> dict[str, dict[int, bytes]]:
        """Keys by writer and version, of the writers this process may sign for or verify."""
        document = self._json("writers.json")
        path = self.directory / "writers.json"
        if not all(isinstance(versions, dict) for versions in document.values()):
            raise SecretUnreadable(f'{path} must map each writer to its keys: {{"core": {{"1": "..."}}}}.')
        return {writer: _versioned_keys(path, versions) for writer, versions in document.items()}

    def tool_master(self) -> bytes:
        """The key from which the writer keys of tools are derived (32 bytes)."""
        return _key(self.directory / "tool-master.key", self._text("tool-master.key"))

    def key_encryption_keys(self) -> dict[int, bytes]:
        """The keys that seal merchants' secrets at rest, by id; the highest id seals."""
        return _versioned_keys(self.directory / "kek.json", self._json("kek.json"))

    def code_keys(self) -> dict[int, bytes]:
        """The keys of generated codes, by version; losing one makes its codes unreadable."""
        return _versioned_keys(self.directory / "code-keys.json", self._json("code-keys.json"))

    def service_token(self) -> str:
        """The bearer token between our own services."""
        return self._text("service-token")

    def admin_token(self) -> str:
        """The staff token with the role admin, made at the first start."""
        return self._text("admin-token")

    def _text(self, name: str) -> str:
        path = self.directory / name
        try:
            text = path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise SecretUnreadable(
                f"The secret file {path} does not exist; SCRIP_SECRETS_DIR must name its folder."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise SecretUnreadable(f"The secret file {path} cannot be read ({type(error).__name__}).") from None
        if not text:
            raise SecretUnreadable(f"The secret file {path} is empty.")
        return text

    def _json(self, name: str) -> dict[str, Any]:
        try:
            document = json.loads(self._text(name))
        except json.JSONDecodeError:
            raise SecretUnreadable(f"The secret file {self.directory / name} is not JSON.") from None
        if not isinstance(document, dict):
            raise SecretUnreadable(f"The secret file {self.directory / name} must hold one JSON object.")
        return document


def _versioned_keys(path: Path, versions: dict[str, Any]) -> dict[int, bytes]:
    keys: dict[int, bytes] = {}
    for version, text in versions.items():
        if not (version.isascii() and version.isdigit()):
            raise SecretUnreadable(f"The secret file {path} must name its keys by whole numbers.")
        keys[int(version)] = _key(path, text)
    return keys


def _key(path: Path, text: object) -> bytes:
    try:
        key = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SecretUnreadable(f"The secret file {path} must hold keys of {KEY_BYTES} bytes in base64.")
    return key

"""Logs: JSON lines (or console lines) on stderr, from structlog and from the standard library alike.

A log call is a sentence plus `action=` and fields. What looks like a secret is masked by its field's name;
log a refusal's code as `refusal=`, because fields named `code` are taken for coupon codes.
"""

import logging
import re
import sys
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MASK = "[redacted]"

# The last word of a field's name decides: terminal_key, service_token, webhook_secret.
_SECRET_WORDS = frozenset(
    {"token", "tokens", "secret", "secrets", "key", "keys", "password", "passphrase", "authorization"}
    | {"cookie", "credential", "credentials", "signature", "otp"}
)
_SECRET_NAMES = frozenset(
    {"code", "codes", "coupon_code", "coupon_codes", "voucher_code", "body", "payload", "email", "phone"}
    | {"mobile", "dsn", "database_url"}
)
_IN_TEXT = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]+"), rf"\1 {MASK}"),
    (re.compile(r"://([^\s:/@]*):[^\s@/]+@"), rf"://\1:{MASK}@"),
    # PostgreSQL quotes the row and pydantic the input that broke a rule.
    (re.compile(r"(?m)^(DETAIL|CONTEXT):.*$"), rf"\1: {MASK}"),
    (re.compile(r"input_value=.*?, input_type="), f"input_value={MASK}, input_type="),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]+"), MASK),
)
_DEEPEST = 6


def configure(
    service: str, instance: int, log_format: Literal["json", "console"] = "json", level: int = logging.INFO
) -> None:
    """Called once at start, before anything logs; later calls replace the configuration."""

    def name_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        event.setdefault("instance", instance)
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_process,
    ]
    if log_format == "json":
        last: list[Processor] = [
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ]
    else:
        last = [
            structlog.processors.format_exc_info,
            redact,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # One write per line: lines of several processes sharing a stderr do not mix.
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # They tell each connection and each start; the service's own lines say that better.
    for chatty in ("uvicorn", "uvicorn.error", "aiokafka", "httpx", "httpcore", "asyncio"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


def bind(**fields: object) -> None:
    """Add fields (command, merchant id) to every later line of this task and its children: of one request, that is."""
    structlog.contextvars.bind_contextvars(**fields)


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The processor before the renderer: masks fields by name, tokens inside texts, and bytes."""
    return {name: MASK if is_secret(name) else _clean(value, 0) for name, value in event.items()}


def is_secret(name: str) -> bool:
    """Whether a field of this name is masked."""
    lowered = name.lower().replace("-", "_")
    return lowered in _SECRET_NAMES or lowered.rpartition("_")[2] in _SECRET_WORDS


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        for pattern, replacement in _IN_TEXT:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if depth >= _DEEPEST:
        return "[too deep]" if isinstance(value, dict | list | tuple | set | frozenset) else value
    if isinstance(value, dict):
        return {str(name): MASK if is_secret(str(name)) else _clean(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(inner, depth + 1) for inner in value]
    return value

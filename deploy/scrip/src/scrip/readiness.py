"""Asks a service whether it is ready to work."""

import http.client
import json
from typing import Any

TIMEOUT_SECONDS = 3.0


def reasons_not_ready(port: int) -> list[str]:
    """Why the service on this loopback port cannot work now; empty when it can. Never raises."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return [f"no answer on port {port} ({type(error).__name__})"]
    finally:
        connection.close()
    if answer.status == http.client.OK:
        return []
    return named_reasons(body) or [f"/readyz answers {answer.status}"]


def named_reasons(body: bytes) -> list[str]:
    try:
        said: Any = json.loads(body)
    except ValueError:
        return []
    reasons = said.get("reasons") if isinstance(said, dict) else said
    return [str(reason) for reason in reasons] if isinstance(reasons, list) else []

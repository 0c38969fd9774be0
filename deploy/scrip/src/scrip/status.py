"""What runs in a home and whether it can work, asked from outside."""

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from scrip.home import Home, port_is_free
from scrip.readiness import TIMEOUT_SECONDS, reasons_not_ready


def platform_status(path: Path) -> dict[str, Any]:
    """The answer of `scrip status --json`; makes nothing in the home."""
    if not path.exists():
        return not_running(path)
    home = Home(path)
    supervisor = home.supervisor_pid()
    state = home.state()
    if supervisor is None or state.get("supervisor") != supervisor:
        return not_running(path)
    processes = [process_status(name, address, state) for name, address in state["addresses"].items()]
    clock = {"mode": state["clock"]}
    if "gateway" in state["addresses"] and clock["mode"] == "told":
        clock["now"] = told_time(state["addresses"]["gateway"], Path(state["admin_token_file"]))
    return {
        "running": True,
        "ready": state["phase"] == "running" and all(process["ready"] for process in processes),
        "phase": state["phase"],
        "home": str(path),
        "supervisor": supervisor,
        "started_at": state["started_at"],
        "clock": clock,
        "partitions": state["partitions"],
        "addresses": state["addresses"],
        "admin_token_file": state["admin_token_file"],
        "processes": processes,
        "versions": state["versions"],
    }


def not_running(path: Path) -> dict[str, Any]:
    return {"running": False, "ready": False, "home": str(path)}


def process_status(name: str, address: str, state: dict[str, Any]) -> dict[str, Any]:
    kept = state["processes"].get(name)
    if kept is not None and not psutil.pid_exists(kept["pid"]):
        reasons = ["the process has ended"]
    elif address.startswith("http"):
        reasons = reasons_not_ready(urlsplit(address).port or 80)
    else:
        reasons = reasons_unreachable(address)
    return {
        "name": name,
        "pid": kept["pid"] if kept else None,
        "restarts": kept["restarts"] if kept else 0,
        "ready": not reasons,
        "reasons": reasons,
        "address": address,
    }


def reasons_unreachable(address: str) -> list[str]:
    """A server's port is all that is asked here; whether it works is what the services' readiness says."""
    place = urlsplit(address if "://" in address else f"kafka://{address.split(',')[0]}")
    if place.hostname != "127.0.0.1" or place.port is None:
        return []
    return [f"nothing answers on port {place.port}"] if port_is_free(place.port) else []


def told_time(gateway: str, token_file: Path) -> str | None:
    """The time every lane has reached, as the gateway tells it; None before the first advance or without answer."""
    place = urlsplit(gateway)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=TIMEOUT_SECONDS)
    try:
        token = token_file.read_text().strip()
        connection.request("GET", "/internal/v1/status", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        body = answer.read()
        said = json.loads(body) if answer.status == http.client.OK else {}
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    core = said.get("core") if isinstance(said, dict) else None
    reached = core.get("as_of") if isinstance(core, dict) else None
    return None if reached is None else str(reached)

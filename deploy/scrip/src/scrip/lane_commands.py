"""`scrip lane`: how the lanes stand, and the operator's word where one is damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from scrip.backend import given_addresses
from scrip.checkout import default_home
from scrip.databases import SCHEMAS, service_databases
from scrip.errors import PlatformError
from scrip.gateway_client import GatewayClient
from scrip.home import Home
from scrip.platform import CORE, Platform
from scrip.platform_commands import HomeOption
from scrip.readiness import reasons_not_ready
from scrip.staff_commands import JsonOption, show_table

lane = typer.Typer(no_args_is_help=True, help="Lanes: where they stand, and what to do with a damaged one.")
ACCEPT_SECONDS = 60


@lane.command("show")
def show_lanes(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Where each lane stands, and why one does not go on."""
    found = GatewayClient(home).call("GET", "/status")
    rows: list[dict[str, Any]] = found["core"]["lanes"]
    reasons = core_reasons(Home((home or default_home()).absolute()))
    if as_json:
        typer.echo(json.dumps({"lanes": rows, "reasons": reasons}, indent=2))
        return
    show_table(rows, ("partition", "epoch", "position", "lag", "clock"), as_json)
    for reason in reasons:
        typer.echo(reason)


def core_reasons(home: Home) -> list[str]:
    """What the local core processes say when they cannot decide something."""
    addresses = home.state().get("addresses", {})
    cores = [address for name, address in addresses.items() if name.split("-")[0] == CORE.module]
    return [reason for address in cores for reason in reasons_not_ready(urlsplit(address).port or 80)]


@lane.command("accept-log-loss")
def accept_log_loss(
    which: Annotated[str, typer.Argument(metavar="LANE|all", help="The lane that stands still, or all of them.")],
    home: HomeOption = None,
) -> None:
    """Let a damaged lane go on with the log as it is; says what is given up. Its core goes on by itself.

    What was cut from the log was never decided and is lost. Events that were told and that the database no longer
    knows are decided again from where the database stands.
    """
    path = (home or default_home()).absolute()
    if which != "all" and not which.isdigit():
        raise PlatformError(f"{which!r} is no lane: give its number, or all.")
    kept = Home(path)
    bootstrap = kept.state().get("addresses", {}).get("kafka")
    if bootstrap is None:
        raise PlatformError(f"No platform has run in {path}.")
    admin_url, given = given_addresses()
    platform = Platform(path, admin_url=admin_url, bootstrap=given)
    passwords = {schema: kept.secret(f"database-{schema}-password") for schema in SCHEMAS}
    databases = service_databases(platform.admin_url, platform.database_name, passwords)
    done = subprocess.run(
        [sys.executable, "-P", "-m", CORE.module, "accept-log-loss", which],
        env={**os.environ, "SCRIP_DATABASE_URL": databases[CORE.schema].url, "SCRIP_KAFKA_BOOTSTRAP": bootstrap},
        capture_output=True,
        text=True,
        check=False,
        timeout=ACCEPT_SECONDS,
    )
    if done.returncode != 0:
        raise PlatformError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "it failed")
    typer.echo(done.stdout.strip())

"""`scrip merchant`, `terminal`, `tool`, `dead-letters`, `clock`, `watch`, `audit`, `why`: staff's work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table

from scrip import keys
from scrip.checkout import default_home
from scrip.errors import PlatformError
from scrip.gateway_client import GatewayClient
from scrip.home import Home
from scrip.platform_commands import HomeOption

JsonOption = Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")]
ReasonOption = Annotated[str | None, typer.Option(help="Why; kept in the merchant's history.")]

merchant = typer.Typer(no_args_is_help=True, help="Merchants: who they are, what API they speak, what they opened.")
interface = typer.Typer(no_args_is_help=True, help="The interface a merchant opened to us.")
profile = typer.Typer(no_args_is_help=True, help="The API matched to a merchant.")
terminal = typer.Typer(no_args_is_help=True, help="A merchant's terminals and their keys.")
tool = typer.Typer(no_args_is_help=True, help="Internal tools that send commands by Kafka.")
dead_letters = typer.Typer(no_args_is_help=True, help="Records that could not be read, trusted or decided.")
code_key = typer.Typer(no_args_is_help=True, help="The key of generated codes, and its versions.")
clock = typer.Typer(no_args_is_help=True, help="Told time (tests and demos only).")
merchant.add_typer(interface, name="interface")
merchant.add_typer(profile, name="profile")


def add_to(app: typer.Typer) -> None:
    """Hang all groups below the command line."""
    for group, name in (
        (merchant, "merchant"),
        (terminal, "terminal"),
        (tool, "tool"),
        (dead_letters, "dead-letters"),
        (code_key, "code-key"),
        (clock, "clock"),
    ):
        app.add_typer(group, name=name)
    app.command()(watch)
    app.command()(audit)
    app.command()(why)


def show(answer: Any, as_json: bool) -> None:
    """An answer as JSON, or as lines of name and value."""
    if as_json or not isinstance(answer, dict):
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    for name, value in answer.items():
        if value is not None and value != {}:
            typer.echo(f"{name:18} {value if isinstance(value, str | int | float | bool) else json.dumps(value)}")


def show_table(rows: list[dict[str, Any]], columns: tuple[str, ...], as_json: bool) -> None:
    """Rows as JSON, or as a table of some columns."""
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*("" if row.get(name) is None else str(row[name]) for name in columns))
    Console().print(table)


def document(file: Path) -> Any:
    """A JSON file's content. Raises PlatformError."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PlatformError(f"{file} cannot be read as JSON: {error}") from None


@merchant.command("add")
def add_merchant(
    name: Annotated[str, typer.Option(help="The merchant's name.")],
    dialect: Annotated[str, typer.Option(help="scrip, voucherify or declared.")] = "scrip",
    currency: Annotated[str, typer.Option(help="Currency where its API names none.")] = "USD",
    zone: Annotated[str, typer.Option(help="Time zone where its API names none.")] = "UTC",
    declaration: Annotated[Path | None, typer.Option(help="For `declared`: the profile, a JSON file.")] = None,
    authentication: Annotated[str | None, typer.Option(help="For `scrip`: bearer or signed.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a merchant at once; prints its credentials, once."""
    body: dict[str, Any] = {"name": name, "dialect": dialect, "currency": currency, "zone": zone}
    if declaration is not None:
        body["declaration"] = document(declaration)
    if authentication is not None:
        body["authentication"] = authentication
    show(GatewayClient(home).call("POST", "/merchants", body), as_json)


@merchant.command("list")
def list_merchants(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Merchants and their states."""
    rows = GatewayClient(home).call("GET", "/merchants")["merchants"]
    show_table(rows, ("id", "name", "state", "dialect", "profile_version"), as_json)


@merchant.command("requests")
def list_requests(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Access requests that wait for a decision."""
    rows = GatewayClient(home).call("GET", "/merchants/requests", state="requested", limit=500)["requests"]
    show_table(rows, ("merchant", "name", "contact", "dialect", "created_at"), as_json)


@merchant.command("show")
def show_merchant(merchant_id: str, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """One merchant."""
    show(GatewayClient(home).call("GET", f"/merchants/{merchant_id}"), as_json)


def _move(name: str, about: str) -> None:
    def move(
        merchant_id: str, reason: ReasonOption = None, home: HomeOption = None, as_json: JsonOption = False
    ) -> None:
        show(GatewayClient(home).call("POST", f"/merchants/{merchant_id}/{name}", {"reason": reason}), as_json)

    merchant.command(name, help=about)(move)


_move("verify", "Verify an applicant: it becomes active and may fetch its credentials, once.")
_move("reject", "Reject an applicant.")
_move("suspend", "Suspend a merchant: it bites at once, in Kafka too.")
_move("resume", "End a suspension.")
_move("close", "Close a merchant for good.")


@interface.command("set")
def set_interface(
    merchant_id: str,
    base_url: Annotated[str, typer.Option(help="Base address of the merchant's interface.")],
    auth: Annotated[str, typer.Option(help="bearer, webhook_signature or none.")] = "bearer",
    secret_file: Annotated[Path | None, typer.Option(help="File with the token or secret (never an argument).")] = None,
    page_size: Annotated[int, typer.Option(help="Users per page.")] = 500,
    declaration: Annotated[Path | None, typer.Option(help="For an interface of its own shape: a JSON file.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how the merchant's interface is called; its secret is kept encrypted."""
    body: dict[str, Any] = {"base_url": base_url, "auth": auth, "page_size": page_size}
    if secret_file is not None:
        body["secret"] = secret_file.read_text(encoding="utf-8").strip()
    if declaration is not None:
        body |= {"kind": "declared", "declaration": document(declaration)}
    show(GatewayClient(home).call("POST", f"/merchants/{merchant_id}/interface", body), as_json)


@code_key.command("show")
def show_code_key(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Which version new codes are made under, and which core has."""
    show(GatewayClient(home).call("GET", "/code-key"), as_json)


@code_key.command("add")
def add_code_key(home: HomeOption = None) -> None:
    """Make the next version in this home. It is used once the platform was started again and `use` says so."""
    version = keys.add_code_key(Home(home or default_home()))
    typer.echo(f"Key {version} is made. Start the platform again, then: scrip code-key use {version}")


@code_key.command("use")
def use_code_key(version: int, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Make new codes under this version from now on; codes made before stay good."""
    show(GatewayClient(home).call("PUT", "/code-key", {"version": version}), as_json)


@profile.command("show")
def show_profile(merchant_id: str, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """The API matched to a merchant."""
    show(GatewayClient(home).call("GET", f"/merchants/{merchant_id}/profile"), as_json)


@profile.command("set")
def set_profile(merchant_id: str, file: Path, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Match another API to a merchant: a new version of its profile."""
    show(GatewayClient(home).call("PUT", f"/merchants/{merchant_id}/profile", document(file)), as_json)


@profile.command("try")
def try_on_sample(
    file: Path, sample: Annotated[Path, typer.Option(help="A request of the merchant's system, as JSON.")]
) -> None:
    """Show the canonical command a declared profile makes of a sample request; nothing is sent."""
    # Only here: all contracts hang on it, which would double the start of every other command.
    from dialects.declared.declaration import DeclarationInvalid
    from dialects.declared.trial import try_profile

    try:
        trials = try_profile(document(file), document(sample))
    except DeclarationInvalid as error:
        raise PlatformError(f"{file} is no usable profile: {error}") from None
    typer.echo(json.dumps([trial.as_json() for trial in trials], indent=2, ensure_ascii=False))
    if all(trial.command is None for trial in trials):
        raise typer.Exit(1)


@terminal.command("add")
def add_terminal(
    merchant_id: str,
    label: Annotated[str, typer.Option(help="What it is: a shop, a till, a server.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a terminal; prints its credentials, once."""
    show(GatewayClient(home).call("POST", f"/merchants/{merchant_id}/terminals", {"label": label}), as_json)


@terminal.command("rotate")
def rotate_terminal(
    merchant_id: str,
    terminal_id: str,
    overlap_seconds: Annotated[float, typer.Option(help="How long the old key stays valid.")] = 86_400,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a terminal a new key; the old one stays valid for a while."""
    path = f"/merchants/{merchant_id}/terminals/{terminal_id}/rotate"
    show(GatewayClient(home).call("POST", path, {"overlap_seconds": overlap_seconds}), as_json)


@terminal.command("revoke")
def revoke_terminal(merchant_id: str, terminal_id: str, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """End a terminal's keys at once."""
    show(GatewayClient(home).call("POST", f"/merchants/{merchant_id}/terminals/{terminal_id}/revoke"), as_json)


@tool.command("add")
def add_tool(
    name: Annotated[str, typer.Option(help="The tool's name: lower case, digits, dashes.")],
    role: Annotated[list[str], typer.Option(help="What it may: generate, issue, redeem, void, manage. Repeatable.")],
    reply_topic: Annotated[str | None, typer.Option(help="The one topic it may be answered on.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register a Kafka tool; prints its writer id and key, once."""
    body = {"name": name, "rights": role, "reply_topic": reply_topic}
    show(GatewayClient(home).call("POST", "/tools", body), as_json)


@tool.command("list")
def list_tools(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Registered tools."""
    rows = GatewayClient(home).call("GET", "/tools")["tools"]
    show_table(rows, ("name", "rights", "reply_topic", "active", "version"), as_json)


@dead_letters.command("list")
def list_dead_letters(
    reason: Annotated[str | None, typer.Option(help="Only those of this reason.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Dead letters of all services."""
    rows = GatewayClient(home).call("GET", "/dead-letters", reason=reason, limit=limit)["dead_letters"]
    show_table(rows, ("id", "reason", "command", "writer", "record_time", "detail"), as_json)


@dead_letters.command("show")
def show_dead_letter(letter: str, home: HomeOption = None) -> None:
    """One dead letter, whole."""
    show(GatewayClient(home).call("GET", f"/dead-letters/{letter}"), True)


@dead_letters.command("redrive")
def redrive_dead_letter(letter: str, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Send a dead letter's command again, under the same id; it may do what its own writer may, and no more.

    Refused where nobody known had signed it, or where its writer may not send it.
    """
    show(GatewayClient(home).call("POST", f"/dead-letters/{letter}/redrive"), as_json)


@clock.command("advance")
def advance_clock(
    to: Annotated[str, typer.Argument(help="RFC 3339, such as 2017-03-01T00:00:00Z.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move told time forward; answers when all that became due has happened."""
    show(GatewayClient(home).call("POST", "/clock", {"to": to}), as_json)


def watch(
    campaign: Annotated[str | None, typer.Option(help="Only this campaign.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Only events of this type.")] = None,
    after: Annotated[str | None, typer.Option(help="Go on after this stream position (Last-Event-ID).")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print events as they happen, until Ctrl-C."""
    for event in GatewayClient(home).events(after, campaign=campaign, type=kind):
        if as_json:
            typer.echo(json.dumps(event, ensure_ascii=False))
        else:
            data = " ".join(f"{name}={value}" for name, value in event.get("data", {}).items() if name != "terms")
            typer.echo(f"{event['time']} {event['type']} {event['subject']} #{event['seq']} {data}")


def audit(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Check ledger, sequence numbers and chains of events; exit code 1 when something differs."""
    found = GatewayClient(home).audit()
    show(found, as_json)
    if found["differences"]:
        raise typer.Exit(1)


def why(
    id: Annotated[str, typer.Argument(help="A command's id, or a refusal's: <command> or <command>/<row>.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Why a command was answered so, beside the decision taken again; exit code 1 when they differ."""
    command, _, row = id.partition("/")
    found = GatewayClient(home).call("GET", f"/commands/{quote(command, safe='')}/why", row=row or None)
    if as_json:
        show(found, True)
    else:
        _show_why(found)
    if found["differences"]:
        raise typer.Exit(1)


def _show_why(found: dict[str, Any]) -> None:
    sent, before = found["sent"] or {}, found["before"] or {}
    campaign = before.get("campaign") or {}
    show(
        {
            "command": found["command"],
            **{name: sent.get(name) for name in ("type", "party", "actor", "appended_at", "data")},
            "met": campaign and {name: campaign[name] for name in ("id", "name", "state", "seq")},
            "coupons": before.get("coupons") or None,
            "rules": found["rules"],
            "answered": _decision(found["answered"]),
            "again": found["again"] and _decision(found["again"]),
            "not again": found["not_again"],
            "differences": "; ".join(found["differences"]) or (found["again"] and "none"),
        },
        False,
    )


def _decision(decision: dict[str, Any]) -> dict[str, Any]:
    told = [event["type"] for event in decision["events"]]
    return {name: decision[name] for name in ("status", "result", "refusal") if decision[name]} | {"events": told}

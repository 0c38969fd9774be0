"""`python -m gateway` serves; `migrate` brings the schema up to date; `openapi [--check]` writes the API's document."""

from __future__ import annotations

import asyncio
import os
import sys

from gateway import openapi
from gateway.settings import GatewaySettings
from gateway.starting import MIGRATIONS, SCHEMA, run_gateway
from process import logs
from process.database import migrate
from process.lifecycle import run
from process.settings import read_settings


def main(arguments: list[str]) -> None:
    """Entry point; does not return."""
    match arguments:
        case []:
            settings = read_settings(GatewaySettings)
            logs.configure("gateway", settings.instance, settings.log_format)
            run(run_gateway)
        case ["migrate"]:
            logs.configure("gateway", 0)
            asyncio.run(migrate(os.environ["SCRIP_DATABASE_URL"], MIGRATIONS, SCHEMA))
        case ["openapi", *rest]:
            sys.exit(openapi.main(rest))
        case _:
            sys.exit("usage: python -m gateway [migrate | openapi [--check]]")


if __name__ == "__main__":
    main(sys.argv[1:])

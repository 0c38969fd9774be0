"""A process that relays the outbox of the address and keys given, until SIGTERM."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from messaging.outbox import OutboxRelay
from messaging.sending import Sender, own_writer
from process import lifecycle, logs
from process.database import open_pool
from process.settings import Secrets


async def main(stop: asyncio.Event) -> None:
    _, url, bootstrap, secrets = sys.argv
    pool = await open_pool(url, application_name="relay-trial")
    sender = Sender(bootstrap, own_writer(Secrets(Path(secrets)), "adapter"))
    await OutboxRelay(pool, sender, lease_seconds=2.0).run(stop)
    await sender.stop()
    await pool.close()


if __name__ == "__main__":
    logs.configure("relay-trial", 0)
    lifecycle.run(main)

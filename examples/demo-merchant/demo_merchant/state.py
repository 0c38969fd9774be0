"""What the merchant remembers, in one SQLite file. Each method that writes is one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo_merchant.people import CannotLoad, User

SCHEMA = """
CREATE TABLE IF NOT EXISTS source (name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS user (
    id TEXT PRIMARY KEY, attributes TEXT NOT NULL, updated_at TEXT, deleted INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS delivery (
    delivery_id TEXT PRIMARY KEY, content TEXT NOT NULL, status TEXT NOT NULL, receipt_id TEXT NOT NULL,
    reason TEXT, received INTEGER NOT NULL DEFAULT 1, recall_receipt_id TEXT
);
-- The effect: a row is a coupon put into a user's hands. No uniqueness here on purpose, so that a doubled
-- effect, ours or the caller's, shows in the counts instead of being hidden by a constraint.
CREATE TABLE IF NOT EXISTS wallet (
    number INTEGER PRIMARY KEY, delivery_id TEXT NOT NULL, coupon_id TEXT NOT NULL, user_id TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS wallet_delivery ON wallet (delivery_id);
CREATE INDEX IF NOT EXISTS wallet_coupon ON wallet (coupon_id);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS fault (
    number INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, nth INTEGER NOT NULL, times INTEGER,
    options TEXT NOT NULL, seen INTEGER NOT NULL DEFAULT 0, fired INTEGER NOT NULL DEFAULT 0
);
"""


class KeyConflict(Exception):
    """A delivery_id came again with other content; the argument is its index in the request."""


class State:
    """One connection, used by one event loop: SQLite answers at once, so nothing is handed to threads."""

    def __init__(self, path: Path) -> None:
        try:
            self._database = sqlite3.connect(path, isolation_level="IMMEDIATE")
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")  # survives kill -9, not a power cut
            self._database.executescript(SCHEMA)
        except sqlite3.Error as reason:
            raise CannotLoad(f"the state file {path} cannot be used: {reason}") from reason

    def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return self._database.execute(statement, values).fetchall()

    # Users

    def load_users_once(self, source: str, users: Iterable[User]) -> None:
        """Fills a new state; an old one keeps its users, which may have changed since."""
        if known := self._rows("SELECT name FROM source"):
            if known[0][0] != source:
                raise CannotLoad(
                    f"the state file holds users from another source ({known[0][0]}, not {source}): "
                    "name another --state or remove it"
                )
            return
        with self._database:
            self._database.execute("INSERT INTO source VALUES (?)", (source,))
            self._database.executemany(
                "INSERT OR REPLACE INTO user VALUES (?, ?, ?, ?)",
                ((user.id, json.dumps(user.attributes), user.updated_at, user.deleted) for user in users),
            )

    def count_users(self) -> int:
        count: int = self._rows("SELECT count(*) FROM user WHERE NOT deleted")[0][0]
        return count

    def users_after(self, last: str, limit: int) -> list[dict[str, object]]:
        """At most `limit` users behind the id `last`, by id: an order that does not move."""
        found = self._rows(
            "SELECT id, attributes, updated_at, deleted FROM user WHERE id > ? ORDER BY id LIMIT ?",
            last,
            limit,
        )
        items: list[dict[str, object]] = []
        for number, attributes, updated_at, deleted in found:
            item: dict[str, object] = {"id": number}
            if deleted:
                item["deleted"] = True
            else:
                item["attributes"] = json.loads(attributes)
            if updated_at:
                item["updated_at"] = updated_at
            items.append(item)
        return items

    def put_user(self, user: User) -> None:
        with self._database:
            self._database.execute(
                "INSERT OR REPLACE INTO user VALUES (?, ?, ?, ?)",
                (user.id, json.dumps(user.attributes), _now(), user.deleted),
            )

    def remove_user(self, number: str, *, leave_tombstone: bool) -> bool:
        """False: there is no such user."""
        with self._database:
            if leave_tombstone:
                change = self._database.execute(
                    "UPDATE user SET deleted = 1, attributes = '{}', updated_at = ? WHERE id = ?",
                    (_now(), number),
                )
            else:
                change = self._database.execute("DELETE FROM user WHERE id = ?", (number,))
        return change.rowcount == 1

    # Deliveries

    def deliver(self, deliveries: list[dict[str, Any]], *, forget_keys: bool = False) -> list[dict[str, object]]:
        """Gives each coupon once and answers the receipts, the first ones again for what was here before.

        forget_keys: behave like a merchant who does not look at delivery_id (a planted fault).

        Raises:
            KeyConflict: a delivery_id was here with other content; nothing of the request is kept.
        """
        receipts = []
        with self._database:  # one transaction: the effect, the key and the receipt, or none of them
            for index, delivery in enumerate(deliveries):
                key, content = delivery["delivery_id"], json.dumps(delivery, sort_keys=True)
                known = self._rows(
                    "SELECT content, status, receipt_id, reason FROM delivery WHERE delivery_id = ?", key
                )
                if known and known[0][0] != content:
                    raise KeyConflict(index)
                if known:
                    status, receipt_id, reason = known[0][1:]
                    self._database.execute("UPDATE delivery SET received = received + 1 WHERE delivery_id = ?", (key,))
                else:
                    status, receipt_id, reason = self._decide(delivery)
                    self._database.execute(
                        "INSERT INTO delivery (delivery_id, content, status, receipt_id, reason)"
                        " VALUES (?, ?, ?, ?, ?)",
                        (key, content, status, receipt_id, reason),
                    )
                if status == "accepted" and (not known or forget_keys):
                    self._database.execute(
                        "INSERT INTO wallet (delivery_id, coupon_id, user_id) VALUES (?, ?, ?)",
                        (key, delivery["coupon_id"], delivery["user_id"]),
                    )
                receipts.append(_receipt(key, status, receipt_id, reason))
        return receipts

    def _decide(self, delivery: dict[str, Any]) -> tuple[str, str, str | None]:
        number = self._add("receipts")
        if not self._rows("SELECT 1 FROM user WHERE id = ? AND NOT deleted", delivery["user_id"]):
            return "refused", f"r-{number}", "unknown_user"
        return "accepted", f"r-{number}", None

    def delivery(self, key: str) -> dict[str, object] | None:
        """The receipt of a delivery with its state now; None: never applied."""
        found = self._rows(
            "SELECT status, receipt_id, reason, recall_receipt_id FROM delivery WHERE delivery_id = ?", key
        )
        if not found:
            return None
        status, receipt_id, reason, recalled = found[0]
        return _receipt(key, "recalled" if recalled else status, receipt_id, reason)

    def recall(self, key: str) -> dict[str, object] | None:
        """Takes the coupon out of the user's hands, once; None: there is no such accepted delivery."""
        with self._database:
            found = self._rows("SELECT status, recall_receipt_id FROM delivery WHERE delivery_id = ?", key)
            if not found or found[0][0] != "accepted":
                return None
            receipt_id = found[0][1]
            if receipt_id is None:
                receipt_id = f"c-{self._add('recalls')}"
                self._database.execute("DELETE FROM wallet WHERE delivery_id = ?", (key,))
                self._database.execute(
                    "UPDATE delivery SET recall_receipt_id = ? WHERE delivery_id = ?", (receipt_id, key)
                )
        return _receipt(key, "recalled", receipt_id, None)

    # Counts

    def _add(self, name: str, by: int = 1) -> int:
        value: int = self._database.execute(
            "INSERT INTO counter VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value RETURNING value",
            (name, by),
        ).fetchone()[0]
        return value

    def note(self, **by: int) -> None:
        """Adds to counters."""
        with self._database:
            for name, number in by.items():
                self._add(name, number)

    def counts(self, *, by_key: bool) -> dict[str, object]:
        """What happened here, for tests and for the curious. `doubled` and `doubled_coupons` must be 0."""
        counters = dict(self._rows("SELECT name, value FROM counter"))
        statuses = dict(self._rows("SELECT status, count(*) FROM delivery GROUP BY status"))
        once = "SELECT count(*) FROM (SELECT 1 FROM wallet GROUP BY {} HAVING count(*) > 1)"
        answer: dict[str, object] = {
            "users": self.count_users(),
            "users_served": counters.get("users_served", 0),
            "requests": {
                name.removeprefix("requests_"): value
                for name, value in counters.items()
                if name.startswith("requests_")
            },
            "deliveries": {
                "keys": sum(statuses.values()),
                "accepted": statuses.get("accepted", 0),
                "refused": statuses.get("refused", 0),
                "received": self._rows("SELECT coalesce(sum(received), 0) FROM delivery")[0][0],
                "applied": self._rows("SELECT count(*) FROM wallet")[0][0],
                "doubled": self._rows(once.format("delivery_id"))[0][0],
                "doubled_coupons": self._rows(once.format("coupon_id"))[0][0],
                "conflicts": counters.get("conflicts", 0),
            },
            "recalls": counters.get("recalls", 0),
            "faults_fired": self._rows("SELECT coalesce(sum(fired), 0) FROM fault")[0][0],
        }
        if by_key:
            answer["applied_by_key"] = dict(self._rows("SELECT delivery_id, count(*) FROM wallet GROUP BY delivery_id"))
        return answer

    # Planted faults

    def plant_fault(self, at: str, kind: str, nth: int, times: int | None, options: dict[str, object]) -> int:
        with self._database:
            number = self._database.execute(
                "INSERT INTO fault (at, kind, nth, times, options) VALUES (?, ?, ?, ?, ?)",
                (at, kind, nth, times, json.dumps(options)),
            ).lastrowid
        assert number is not None
        return number

    def faults(self) -> list[dict[str, object]]:
        names = ("number", "at", "kind", "nth", "times", "options", "seen", "fired")
        found = self._rows("SELECT number, at, kind, nth, times, options, seen, fired FROM fault ORDER BY number")
        return [dict(zip(names, (*row[:5], json.loads(row[5]), *row[6:]), strict=True)) for row in found]

    def clear_faults(self) -> None:
        with self._database:
            self._database.execute("DELETE FROM fault")

    def due_fault(self, at: str, weight: int) -> tuple[str, dict[str, Any]] | None:
        """Kind and options of the fault that strikes this call, if one does; `weight`: deliveries in it."""
        struck = None
        with self._database:
            planted = self._rows(
                "SELECT number, kind, nth, times, options, seen, fired FROM fault WHERE at = ? ORDER BY number",
                at,
            )
            for number, kind, nth, times, options, seen, fired in planted:
                now_seen = seen + weight
                strikes = struck is None and now_seen >= nth and (times is None or fired < times)
                if strikes:
                    struck = (kind, json.loads(options))
                self._database.execute(
                    "UPDATE fault SET seen = ?, fired = ? WHERE number = ?",
                    (now_seen, fired + strikes, number),
                )
        return struck


def _receipt(key: str, status: str, receipt_id: str, reason: str | None) -> dict[str, object]:
    receipt: dict[str, object] = {"delivery_id": key, "status": status, "receipt_id": receipt_id}
    if reason is not None:
        receipt["reason"] = reason
    return receipt


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

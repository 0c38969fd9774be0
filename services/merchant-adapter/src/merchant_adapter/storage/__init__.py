"""All SQL of merchant-adapter: a file per table, each statement above the one function that runs it."""

from messaging.outbox import Connection

__all__ = ["Connection"]

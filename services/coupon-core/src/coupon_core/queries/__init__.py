"""The read API of coupon-core: HTTP, for our own services. Reads come from the database, so any core process answers.

A file per subject. Every answer that depends on the time says as of when it holds.
"""

from coupon_core.queries.api import QueryApi

__all__ = ["QueryApi"]

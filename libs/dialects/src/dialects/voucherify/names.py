"""Identifiers as Voucherify's clients see them. Each can be read back; no table is needed."""

from __future__ import annotations

import base64
import binascii
import re
from uuid import UUID

from contracts.identifiers import split_coupon_id
from dialects.calls import CampaignName

_REDEMPTION = re.compile(r"r_([0-9a-f]{32})_([1-9][0-9]{0,11})_([1-9][0-9]{0,5})", re.ASCII)


def campaign_text(campaign: str | UUID) -> str:
    """`camp_` and 32 hex digits."""
    return "camp_" + UUID(str(campaign)).hex


def campaign_name(text: str) -> CampaignName:
    """A campaign as a path or body names it: by id, or by the merchant's own name (an id, where it could be both)."""
    if text.startswith("camp_"):
        try:
            return CampaignName(UUID(text[5:]))
        except ValueError:
            pass
    return CampaignName(natural_key=text)


def voucher_text(coupon: str) -> str:
    """`v_<campaign>_<number>` of a coupon id."""
    campaign, number = split_coupon_id(coupon)
    return f"v_{campaign.hex}_{number}"


def publication_text(coupon: str) -> str:
    """`pub_<campaign>_<number>`: a coupon is published once."""
    campaign, number = split_coupon_id(coupon)
    return f"pub_{campaign.hex}_{number}"


def redemption_text(coupon: str, redemption: int) -> str:
    """`r_<campaign>_<number>_<n>`: the n-th redemption of a coupon."""
    campaign, number = split_coupon_id(coupon)
    return f"r_{campaign.hex}_{number}_{redemption}"


def read_redemption(text: str) -> tuple[UUID, int, int] | None:
    """Campaign, coupon number and n of a redemption id; None where it is none."""
    found = _REDEMPTION.fullmatch(text)
    return None if found is None else (UUID(found[1]), int(found[2]), int(found[3]))


def customer_text(user: str) -> str:
    """`cust_` and the merchant's own id of the user, in base64url."""
    return "cust_" + base64.urlsafe_b64encode(user.encode()).decode().rstrip("=")


def read_customer(text: str) -> str | None:
    """The merchant's own id of the user; None where the text is no customer id of ours."""
    if not text.startswith("cust_"):
        return None
    encoded = text[5:]
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None

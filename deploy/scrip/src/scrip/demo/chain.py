"""The grocery chain as a merchant: it asks for access, lends its users, publishes, issues and redeems."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from scrip.demo.calling import Client, UnexpectedAnswer
from scrip.demo.companions import DemoMerchant
from scrip.demo.data import DataCampaign, Redemption
from scrip.demo.staff import Staff

NAME = "Grocery chain"
DOLLAR = 100
"""The data tells no face values: every coupon takes a dollar off."""
TICK_SECONDS = 1.5
SYNC_SECONDS = 60.0


@dataclass
class Chain:
    """The chain, matched to the API it speaks."""

    id: str
    client: Client
    matched: dict[str, Any]
    campaigns: dict[tuple[int, str], str] = field(default_factory=dict)
    """(campaign of the data, code) → the campaign's id here."""

    def publish(self, campaign: DataCampaign, code: str) -> str:
        """Publish one offer under the chain's own key; its id."""
        document = {
            "name": f"Campaign {campaign.number} ({campaign.kind}), coupon {code}",
            "currency": "USD",
            "discount": {"kind": "amount_off", "amount": DOLLAR},
            "validity": {
                "starts": campaign.starts.isoformat(),
                "ends": campaign.ends.isoformat(),
                "zone": "America/New_York",
            },
            "supply": {"kind": "shared", "code": code},
            "quantity": len(campaign.households),
            "per_user_limit": 1,
        }
        key = f"{campaign.number}-{code}"
        made = self.client.send("POST", "/merchant/v1/campaigns", document, key=key).expect(200, 201)
        self.campaigns[campaign.number, code] = made["campaign"]
        return str(made["campaign"])

    def issue(self, campaign: DataCampaign, code: str) -> int:
        """Give the offer to every household of its campaign; how many got one."""
        path = f"/merchant/v1/campaigns/{self.campaigns[campaign.number, code]}/issue"
        key = f"issue-{campaign.number}-{code}"
        done = self.client.send("POST", path, {"users": campaign.households}, key=key).expect(200)
        return int(done["accepted"])

    def redeem(self, redemption: Redemption) -> bool:
        """Show a coupon at a till; whether it was taken. Raises UnexpectedAnswer when it is refused for another reason
        than that it was used before.
        """
        shown = {
            "campaign": self.campaigns[redemption.campaign, redemption.code],
            "code": redemption.code,
            "user": redemption.household,
            "order": f"receipt-{redemption.number}",
        }
        key = f"redeem-{redemption.number}"
        answer = self.client.send("POST", "/merchant/v1/coupons/redeem", shown, key=key)
        if answer.code == "coupon_already_redeemed":
            return False
        answer.expect(200)
        return True


def ask_for_access(url: str, staff: Staff) -> Chain:
    """An unknown applicant asks, staff verify, the applicant fetches its key once, and is matched to its API by it."""
    applicant = Client(url, {})
    wish = {
        "name": NAME,
        "contact": "it@grocery.example",
        "dialect": "scrip",
        "terminal": "head office",
        "profile": {"currency": "USD", "zone": "America/New_York", "requests_per_second": 10_000},
    }
    filed = applicant.send_once("POST", "/merchant/v1/access", wish).expect(202)
    asking = Client(url, {"authorization": f"Bearer {filed['token']}"})
    merchant = asking.get(f"/merchant/v1/access/{filed['id']}")["merchant"]
    staff.post(f"/merchants/{merchant}/verify", {"reason": "The contract is signed."})
    state = asking.get(f"/merchant/v1/access/{filed['id']}")
    if state["credentials"] is None:
        raise UnexpectedAnswer(f"The chain is {state['state']} and got no credentials.")
    client = Client(url, {"authorization": f"Bearer {state['credentials']['key']}"})
    return Chain(merchant, client, matched_by(client))


def matched_by(client: Client) -> dict[str, Any]:
    """Ask for access with credentials: the API matched to them."""
    matched: dict[str, Any] = client.send_once("POST", "/merchant/v1/access").expect(200)
    return matched


def lend_users(staff: Staff, chain: Chain, merchant: DemoMerchant, token: str) -> dict[str, Any]:
    """The chain's server is made known, a one-off timed task fetches its users; the report of the run."""
    interface = {"kind": "scrip", "base_url": merchant.address, "auth": "bearer", "secret": token}
    staff.post(f"/merchants/{chain.id}/interface", {**interface, "requests_per_second": 200})
    due = datetime.now(UTC) + timedelta(seconds=TICK_SECONDS)
    task = {
        "name": "Fetch the chain's households",
        "schedule": {"kind": "once", "at": due.isoformat()},
        "action": {"kind": "sync_users", "merchant": chain.id},
    }
    staff.order("/tasks", task)
    deadline = time.monotonic() + SYNC_SECONDS
    while time.monotonic() < deadline:
        runs: Sequence[dict[str, Any]] = staff.adapter.get(f"/sync-runs?merchant={chain.id}&limit=1")["runs"]
        if runs and runs[0]["status"] in ("done", "failed"):
            if runs[0]["status"] == "failed":
                raise UnexpectedAnswer(f"The households were not fetched: {runs[0]['detail']}")
            return runs[0]
        time.sleep(0.1)
    raise UnexpectedAnswer(f"The timed task fetched nobody within {SYNC_SECONDS:.0f} s.")


def new_token() -> str:
    """A secret for the merchant's interface."""
    return secrets.token_urlsafe(24)

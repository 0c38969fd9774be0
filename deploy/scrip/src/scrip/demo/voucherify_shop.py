"""A shop's program that speaks Voucherify, with Voucherify's published client: only the base address is another one.

A process of its own (the client alone takes seconds to load). Reads one JSON line, `{"url", "app_id", "app_token",
"campaign", "codes", "publish", "redeem", "foreign_code"}`, plays its campaign, and prints one JSON line of what it saw.
Knows nothing of Scrip.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from voucherify.api.campaigns_api import CampaignsApi
from voucherify.api.publications_api import PublicationsApi
from voucherify.api.redemptions_api import RedemptionsApi
from voucherify.api_client import ApiClient
from voucherify.configuration import Configuration
from voucherify.exceptions import ApiException
from voucherify.models.campaigns_create_request_body import CampaignsCreateRequestBody
from voucherify.models.publications_create_request_body import PublicationsCreateRequestBody
from voucherify.models.redemptions_redeem_request_body import RedemptionsRedeemRequestBody


def redeem(redemptions: Any, code: str, order: str) -> Any:
    """Redeem a voucher for an order of 100.00."""
    body = {
        "redeemables": [{"object": "voucher", "id": code}],
        "order": {"source_id": order, "amount": 10_000},
        "customer": {"source_id": f"shopper-{order}"},
    }
    request = RedemptionsRedeemRequestBody.from_dict(body)
    return redemptions.redeem_stacked_discounts(redemptions_redeem_request_body=request)


def refused_with(redemptions: Any, code: str, order: str) -> str:
    """The key of the error with which a redemption is refused; empty: it was not refused."""
    try:
        redeem(redemptions, code, order)
    except ApiException as error:
        return str(json.loads(error.body or "{}").get("key", ""))
    return ""


def play(order: dict[str, Any]) -> dict[str, Any]:
    """Create a campaign with codes, publish vouchers, redeem some, one of them twice, and roll one back."""
    keys = {"X-App-Id": order["app_id"], "X-App-Token": order["app_token"]}
    client = ApiClient(Configuration(host=order["url"], api_key=keys))
    campaigns, publications = CampaignsApi(client), PublicationsApi(client)
    redemptions = RedemptionsApi(client)
    campaign = {
        "campaign_type": "DISCOUNT_COUPONS",
        "type": "STATIC",
        "vouchers_count": order["codes"],
        "voucher": {
            "type": "DISCOUNT_VOUCHER",
            "discount": {"type": "PERCENT", "percent_off": 10},
            "code_config": {"pattern": "SUMMER-#####"},
            "redemption": {"quantity": 1},
        },
        **order["campaign"],
    }
    made = campaigns.create_campaign(campaigns_create_request_body=CampaignsCreateRequestBody.from_dict(campaign))
    codes: list[str] = []
    for number in range(order["publish"]):
        wanted = {"campaign": {"name": made.name, "count": 1}, "customer": {"source_id": f"shopper-o-{number}"}}
        request = PublicationsCreateRequestBody.from_dict(wanted)
        given = publications.create_publication(publications_create_request_body=request).voucher
        codes.append(str(given.code) if given else "")
    good = [redeem(redemptions, code, f"o-{number}") for number, code in enumerate(codes[: order["redeem"]])]
    again = refused_with(redemptions, codes[0], "o-0")
    back = redemptions.rollback_redemption(redemption_id=good[-1].redemptions[0].id, reason="returned")
    return {
        "codes": made.vouchers_count,
        "published": len(set(codes)),
        "redeemed": sum(each.redemptions[0].result == "SUCCESS" for each in good),
        "again": again,
        "rolled_back": int(back.result == "SUCCESS"),
        "foreign": refused_with(redemptions, order["foreign_code"], "o-99"),
    }


if __name__ == "__main__":
    print(json.dumps(play(json.loads(sys.stdin.readline()))), flush=True)

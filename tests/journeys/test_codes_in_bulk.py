"""A merchant orders codes of its own pattern, takes 100,000 of them out, and one is redeemed at its till."""

import hashlib

from tests.support.journeys import Journey, offer, order, until

COUNT = 100_000


def test_codes_of_an_own_pattern_are_exported_and_redeemed(journey: Journey) -> None:
    shop = journey.add_shop("Codes in bulk")
    terms = {name: value for name, value in offer("unused").items() if name != "supply"}
    pattern = {"prefix": "BULK-", "charset": "letters_and_digits", "length": 10}
    ordered = terms | {"quantity": 1_000_000_000, "supply": {"kind": "generated", "pattern": pattern}}
    campaign = shop.done("POST", "/campaigns/generate", ordered)["campaign"]
    taken = shop.done("POST", f"/campaigns/{campaign}/export-codes", {"count": COUNT})
    assert (taken["first"], taken["last"], taken.get("codes")) == (1, COUNT, None)

    digest, rows, rest = hashlib.sha256(), 0, b""
    codes: set[str] = set()
    url = f"{journey.url}/merchant/v1/campaigns/{campaign}/export/codes"
    with journey.http.stream("GET", url, headers=shop.headers) as answer:
        assert answer.status_code == 200
        for part in answer.iter_bytes():
            *lines, rest = (rest + part).split(b"\r\n")
            for line in lines:
                if line.startswith(b"#end,"):
                    assert line.decode() == f"#end,{rows},{digest.hexdigest()}"
                    break
                digest.update(line + b"\r\n")
                if not line.startswith(b"number,"):
                    rows += 1
                    codes.add(line.split(b",")[1].decode())
    assert (rows, len(codes), rest) == (COUNT, COUNT, b"")
    code = sorted(codes)[COUNT // 2]
    redeemed = shop.done("POST", "/coupons/redeem", {"code": code.lower().replace("-", " "), "amount": 900})
    assert redeemed["payable"] == 400
    exported = journey.staff("GET", f"/campaigns/{campaign}/export/codes?state=redeemed").text
    assert exported.splitlines()[1].split(",")[1] == code
    assert journey.campaign(campaign)["exported"] == COUNT - 1
    small = ordered | {"supply": {"kind": "generated", "pattern": {"charset": "digits", "length": 5}}}
    refused = shop.ask("POST", "/merchant/v1/campaigns/generate", small)
    assert refused.json()["code"] == "code_space_too_small"


def test_a_stolen_print_run_is_counted_and_becomes_void(journey: Journey) -> None:
    campaign = journey.done("POST", "/campaigns", order(2 * COUNT))["campaign"]
    at = f"/campaigns/{campaign}"
    for _ in range(2):
        journey.done("POST", f"{at}/export-codes", {"count": COUNT})
    codes = journey.staff("GET", f"{at}/export/codes?after=9999&last=10002").text.splitlines()[:3]
    code = dict(line.split(",")[:2] for line in codes)
    journey.done("POST", f"{at}/redeem", {"coupon": {"code": code["10001"]}, "amount": 900})

    stolen = {"matching": {"states": ["exported"], "first": 10_001, "last": COUNT + 10_000}, "reason": "stolen"}
    told = journey.done("POST", f"{at}/void-matching?dry_run=true", stolen)
    assert (told["accepted"], told["exported"], told["more"]) == (COUNT - 1, COUNT - 1, False)
    assert journey.campaign(campaign)["exported"] == 2 * COUNT - 1
    journey.done("POST", f"{at}/void-matching", stolen)
    until("all of them are void", lambda: journey.campaign(campaign)["voided"] == COUNT - 1)
    after = journey.campaign(campaign)
    assert (after["issued"], after["exported"], after["redeemed"]) == (COUNT, COUNT, 1)
    refused = journey.staff("POST", f"{at}/redeem", {"coupon": {"code": code["10002"]}, "amount": 900})
    assert refused.json()["code"] == "coupon_voided"
    assert journey.done("POST", f"{at}/redeem", {"coupon": {"code": code["10000"]}, "amount": 900})["discount"] == 500
    listed = journey.staff("GET", f"{at}/export/codes?state=voided").text
    assert f"#end,{COUNT - 1}," in listed

"""The internal API, end to end with a real core."""

import asyncio
import json
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from scrip.status import told_time
from tests.support.gateway import GatewayPlatform


class TestOperating:
    async def test_metrics_tell_commands_requests_and_the_age_of_what_is_not_sent(
        self, gateway: GatewayPlatform, campaign: str
    ) -> None:
        text = (await gateway.request("GET", "/metrics")).text
        found = {sample.name: sample for family in text_string_to_metric_families(text) for sample in family.samples}
        assert found["scrip_gateway_commands_total"].value > 0
        assert found["scrip_outbox_oldest_unsent_seconds"].value >= 0
        assert {"scrip_gateway_external_seconds_count", "scrip_event_loop_lag_seconds_count"} & found.keys()

    async def test_status_of_a_platform_that_keeps_told_time_tells_it(self, gateway: GatewayPlatform) -> None:
        token = gateway.core.secrets_folder / "admin-token"
        told = await asyncio.to_thread(told_time, gateway.url(), token)
        assert told == (await gateway.done("GET", "/status"))["core"]["as_of"]
        assert told is not None
        assert told >= "2026-03-10T12:00:00"


class TestCampaigns:
    async def test_a_repeated_order_is_answered_again_and_other_content_is_refused(
        self, gateway: GatewayPlatform, spring: dict[str, Any]
    ) -> None:
        key = spring["terms"]["name"]
        made = await gateway.staff("POST", "/campaigns", spring, key=key)
        assert made.status_code == 201
        again = await gateway.staff("POST", "/campaigns", spring, key=key, instance=1)
        assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
        assert again.json()["campaign"] == made.json()["campaign"]
        other = await gateway.staff("POST", "/campaigns", {**spring, "quantity": 5}, key=key)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")

    async def test_counters_are_exact_through_claim_redeem_return_and_void(
        self, gateway: GatewayPlatform, campaign: str
    ) -> None:
        at = f"/campaigns/{campaign}"
        coupons = [(await gateway.done("POST", f"{at}/claim", {"user": f"u{n}"}))["code"] for n in range(4)]
        redeemed = await gateway.done(
            "POST", f"{at}/redeem", {"coupon": {"code": coupons[0]}, "order": "o-1", "amount": 2000}
        )
        assert (redeemed["discount"], redeemed["payable"]) == (500, 1500)
        twice = await gateway.staff("POST", f"{at}/redeem", {"coupon": {"code": coupons[0]}, "amount": 2000})
        assert (twice.status_code, twice.json()["code"]) == (409, "coupon_already_redeemed")
        await gateway.done("POST", f"{at}/return", {"coupon": {"code": coupons[0]}, "reason": "cancelled"})
        await gateway.done("POST", f"{at}/redeem", {"coupon": {"code": coupons[1]}, "amount": 2000})
        voided = await gateway.done(
            "POST", f"{at}/void", {"coupons": [{"code": coupons[2]}, {"code": coupons[2]}], "reason": "fraud"}
        )
        assert (voided["accepted"], voided["refused"]) == (1, 1)
        view = await gateway.done("GET", at)
        counted = {name: view[name] for name in ("issued", "held", "redeemed", "voided")}
        assert counted == {"issued": 4, "held": 2, "redeemed": 1, "voided": 1}
        history = await gateway.done("GET", f"/coupons/{redeemed['coupon']}/history")
        kinds = [event["type"].split(".")[2] for event in history["events"]]
        assert kinds == ["issued", "redeemed", "returned"]

    async def test_a_dry_run_says_what_would_happen_and_nothing_does(
        self, gateway: GatewayPlatform, campaign: str, spring: dict[str, Any]
    ) -> None:
        at = f"/campaigns/{campaign}"
        before = await gateway.done("GET", at)
        tried = await gateway.done("POST", f"{at}/claim?dry_run=true", {"user": "u"})
        assert (tried["coupon"], tried["dry_run"], "code" in tried) == (f"{campaign}.1", True, False)
        rows = await gateway.done("POST", f"{at}/issue?dry_run=true", {"users": ["a", "b", "a"]})
        assert (rows["accepted"], rows["refused"]) == (2, 1)
        stopped = await gateway.done("POST", f"{at}/stop?dry_run=true", {"reason": "tried"})
        assert stopped["state"] == "stopped"
        made = await gateway.staff("POST", "/campaigns?dry_run=true", spring, key="tried only")
        assert made.status_code == 200
        assert (await gateway.staff("GET", f"/campaigns/{made.json()['campaign']}")).status_code == 404
        refused = await gateway.staff("POST", f"{at}/resume?dry_run=true")
        assert refused.json()["code"] == "campaign_state_forbids"
        odd = await gateway.staff("POST", f"{at}/resume?dry_run=maybe")
        assert (odd.status_code, odd.json()["errors"][0]["pointer"]) == (422, "dry_run")
        many = await gateway.staff("POST", f"{at}/issue?dry_run=true", {"users": [f"u{n}" for n in range(501)]})
        assert (many.status_code, many.json()["code"]) == (413, "too_large_to_try")
        after = await gateway.done("GET", at)
        assert {**after, "as_of": None} == {**before, "as_of": None}

    async def test_a_draft_is_amended_and_activated(self, gateway: GatewayPlatform, spring: dict[str, Any]) -> None:
        made = await gateway.done("POST", "/campaigns", {**spring, "draft": True}, key="a draft")
        at = f"/campaigns/{made['campaign']}"
        assert made["state"] == "draft"
        await gateway.done("POST", f"{at}/amend", {"terms": {"name": "Amended", "minimum_spend": 7}})
        assert (await gateway.done("POST", f"{at}/activate"))["state"] == "active"
        await gateway.done("POST", f"{at}/claim", {"user": "u"})
        forbidden = await gateway.staff("POST", f"{at}/amend", {"terms": {"minimum_spend": 8}})
        assert (forbidden.status_code, forbidden.json()["code"]) == (409, "amendment_forbidden")
        assert (await gateway.done("GET", at))["terms"]["minimum_spend"] == 7

    async def test_a_campaign_is_paused_resumed_changed_unpublished_and_stopped(
        self, gateway: GatewayPlatform, campaign: str
    ) -> None:
        at = f"/campaigns/{campaign}"
        assert (await gateway.done("POST", f"{at}/pause", {"reason": "audit"}))["state"] == "paused"
        refused = await gateway.staff("POST", f"{at}/claim", {"user": "u"})
        assert refused.json()["code"] == "campaign_not_active"
        assert (await gateway.done("POST", f"{at}/resume"))["state"] == "active"
        await gateway.done("PUT", f"{at}/quantity", {"quantity": 2000})
        await gateway.done("POST", f"{at}/unpublish")
        assert (await gateway.done("GET", at))["listed"] is False
        assert (await gateway.done("POST", f"{at}/stop", {"reason": "over"}))["state"] == "stopped"

    async def test_a_handful_of_codes_is_exported_and_one_of_them_redeemed_without_a_user(
        self, gateway: GatewayPlatform, campaign: str
    ) -> None:
        exported = await gateway.done("POST", f"/campaigns/{campaign}/export-codes", {"count": 3})
        code = exported["codes"][1]["code"]
        redeemed = await gateway.done(
            "POST", f"/campaigns/{campaign}/redeem", {"coupon": {"code": code}, "amount": 900}
        )
        assert redeemed["coupon"] == exported["codes"][1]["coupon"]

    async def test_a_filter_is_counted_and_then_void_and_cores_cursor_is_no_field_of_it(
        self, gateway: GatewayPlatform, campaign: str
    ) -> None:
        at = f"/campaigns/{campaign}"
        await gateway.done("POST", f"{at}/issue", {"users": ["ann", "bob", "cid"]})
        await gateway.done("POST", f"{at}/export-codes", {"count": 5})
        mean = {"matching": {"states": ["held", "exported"], "first": 2, "last": 6}, "reason": "leaked"}
        told = await gateway.done("POST", f"{at}/void-matching?dry_run=true", mean)
        assert (told["accepted"], told["held"], told["exported"], told["dry_run"]) == (5, 2, 3, True)
        assert (await gateway.done("GET", at))["voided"] == 0
        assert (await gateway.done("POST", f"{at}/void-matching", mean))["accepted"] == 5
        view = await gateway.done("GET", at)
        assert (view["voided"], view["held"], view["exported"]) == (5, 1, 2)
        for path, body, field in (
            ("void-matching", mean | {"after": 3}, "/after"),
            ("void-matching", mean | {"upto": 3}, "/upto"),
            ("void-all", {"reason": "r", "after": 3}, "/after"),
        ):
            refused = await gateway.staff("POST", f"{at}/{path}", body)
            assert (refused.status_code, [one["pointer"] for one in refused.json()["errors"]]) == (422, [field])
        nothing = await gateway.staff("POST", f"{at}/void-matching", {"matching": {}, "reason": "r"})
        assert nothing.status_code == 422
        assert (await gateway.done("POST", f"{at}/void-all", {"reason": "r"}))["accepted"] == 1

    async def test_respond_async_is_answered_202_and_the_outcome_is_found(
        self, gateway: GatewayPlatform, campaign: str
    ) -> None:
        sent = await gateway.staff(
            "POST", f"/campaigns/{campaign}/claim", {"user": "later"}, headers={"Prefer": "respond-async"}
        )
        assert sent.status_code == 202
        command = sent.headers["location"].removeprefix("/internal/v1")
        for _ in range(100):
            found = await gateway.staff("GET", command)
            if found.status_code == 200:
                break
        assert found.json()["user"] == "later"


class TestBulk:
    async def test_issue_to_1200_users_is_cut_and_answered_row_by_row(
        self, gateway: GatewayPlatform, spring: dict[str, Any]
    ) -> None:
        campaign = (await gateway.done("POST", "/campaigns", {**spring, "quantity": 1199}))["campaign"]
        users = [f"user-{n}" for n in range(1200)] + ["user-7"]
        done = await gateway.done("POST", f"/campaigns/{campaign}/issue", {"users": users}, key=f"bulk-{campaign}")
        assert (done["total"], done["accepted"], done["refused"]) == (1201, 1199, 2)
        assert "rows" not in done
        rows: list[dict[str, Any]] = []
        after = -1
        while after is not None:
            page = await gateway.done("GET", f"/commands/{done['command']}/results?after={after}&limit=500")
            rows += page["rows"]
            after = page["next"]
        assert [row["row"] for row in rows] == list(range(1201))
        assert rows[1200]["refusal"]["code"] == "repeated_in_request"
        assert rows[1199]["refusal"]["code"] == "campaign_exhausted"
        assert rows[0]["user"] == "user-0"
        assert len({row["coupon"] for row in rows[:1199]}) == 1199
        again = await gateway.staff("POST", f"/campaigns/{campaign}/issue", {"users": users}, key=f"bulk-{campaign}")
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json()["accepted"] == 1199
        other = await gateway.staff("POST", f"/campaigns/{campaign}/issue", {"users": ["x"]}, key=f"bulk-{campaign}")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")

    async def test_lines_and_csv_are_taken_and_bad_rows_are_refused_in_their_rows(
        self, gateway: GatewayPlatform, campaign: str
    ) -> None:
        long = "x" * 65
        lines = ["line-1", {"user": "line-2"}, {"user": long}, {"nobody": 1}, "line-1"]
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines) + b"{not json\n"
        done = await gateway.done(
            "POST", f"/campaigns/{campaign}/issue", body, headers={"content-type": "application/x-ndjson"}
        )
        assert (done["accepted"], done["refused"]) == (2, 4)
        codes = [row.get("refusal", {}).get("code") for row in done["rows"]]
        assert codes == [None, None, "row_unreadable", "row_unreadable", "repeated_in_request", "row_unreadable"]
        done = await gateway.done(
            "POST",
            f"/campaigns/{campaign}/issue",
            b"user,note\ncsv-1,a\ncsv-2,b\n",
            headers={"content-type": "text/csv"},
        )
        assert done["accepted"] == 2

    async def test_codes_are_uploaded_as_csv_and_lines_and_an_excel_sheet_is_refused_by_name(
        self, gateway: GatewayPlatform, spring: dict[str, Any]
    ) -> None:
        uploaded = {"terms": spring["terms"], "supply": {"kind": "uploaded"}}
        campaign = (await gateway.done("POST", "/campaigns", uploaded))["campaign"]
        at = f"/campaigns/{campaign}/codes"
        csv = await gateway.done("POST", at, b"code\nAAA-1\nAAA-2\nAAA-1\n", headers={"content-type": "text/csv"})
        assert (csv["accepted"], csv["refused"]) == (2, 1)
        lines = await gateway.done(
            "POST", at, b'"BBB-1"\n{"code":"BBB-2"}\n', headers={"content-type": "application/jsonl"}
        )
        assert lines["accepted"] == 2
        excel = await gateway.staff("POST", at, b"PK\x03\x04rest", headers={"content-type": "application/octet-stream"})
        assert (excel.status_code, excel.json()["code"]) == (415, "xlsx_not_supported")
        claimed = await gateway.done("POST", f"/campaigns/{campaign}/claim", {"user": "u"})
        assert claimed["code"].replace("-", "") == "AAA1"

    async def test_bulk_into_a_campaign_that_is_not_there_is_one_refusal(self, gateway: GatewayPlatform) -> None:
        nowhere = "00000000-0000-4000-8000-000000000000"
        answer = await gateway.staff("POST", f"/campaigns/{nowhere}/issue", {"users": ["a", "b"]})
        assert (answer.status_code, answer.json()["code"]) == (404, "campaign_not_found")

    async def test_where_time_is_told_a_request_may_say_when_it_happens(
        self, gateway: GatewayPlatform, campaign: str
    ) -> None:
        later = {"Scrip-At": "2026-03-10T12:00:05Z"}
        at = f"/campaigns/{campaign}"
        claimed = await gateway.done("POST", f"{at}/claim", {"user": "told"}, headers=later)
        assert claimed["as_of"].startswith("2026-03-10T12:00:05")
        await gateway.done("POST", f"{at}/issue", {"users": ["told-2"]}, headers={"Scrip-At": "2026-03-10T12:00:06Z"})
        events = (await gateway.done("GET", f"{at}/events"))["events"]
        assert events[-1]["time"].startswith("2026-03-10T12:00:06")
        wrong = await gateway.staff("POST", f"{at}/claim", {"user": "x"}, headers={"Scrip-At": "yesterday"})
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (400, "Scrip-At")


class TestComplaints:
    async def test_coupons_and_refusals_are_found_by_user_order_and_code(
        self, gateway: GatewayPlatform, campaign: str
    ) -> None:
        code = (await gateway.done("POST", f"/campaigns/{campaign}/claim", {"user": f"eve {campaign}"}))["code"]
        use = {"coupon": {"code": code}, "order": f"order {campaign}", "amount": 1000}
        await gateway.done("POST", f"/campaigns/{campaign}/redeem", use)
        await gateway.staff("POST", f"/campaigns/{campaign}/redeem", use)
        for question in ({"user": f"eve {campaign}"}, {"code": code}, {"order": f"order {campaign}"}):
            found = await gateway.done("GET", "/coupons", params=question)
            assert [coupon["state"] for coupon in found["coupons"]] == ["redeemed"], question
        refusals = (await gateway.done("GET", "/coupons", params={"order": f"order {campaign}"}))["refusals"]
        assert [refusal["code"] for refusal in refusals] == ["coupon_already_redeemed"]

    async def test_a_coupon_and_its_campaign_are_shown_as_they_were(
        self, gateway: GatewayPlatform, campaign: str
    ) -> None:
        claimed = await gateway.done("POST", f"/campaigns/{campaign}/claim", {"user": "w"})
        coupon = claimed["coupon"]
        before = await gateway.done("GET", f"/campaigns/{campaign}")
        await gateway.done(
            "POST", f"/campaigns/{campaign}/redeem", {"coupon": {"code": claimed["code"]}, "amount": 900}
        )
        assert (await gateway.done("GET", f"/coupons/{coupon}"))["state"] == "redeemed"
        was = await gateway.done("GET", f"/coupons/{coupon}", params={"seq": before["seq"]})
        assert (was["state"], was["caused_by"]["command"]) == ("held", claimed["command"])
        earlier = await gateway.done("GET", f"/campaigns/{campaign}", params={"seq": before["seq"]})
        of_now = {"as_of", "periods"}
        assert {name: earlier[name] for name in before.keys() - of_now} == {
            name: before[name] for name in before.keys() - of_now
        }
        now = await gateway.done("GET", f"/campaigns/{campaign}")
        at = await gateway.done("GET", f"/campaigns/{campaign}", params={"at": now["as_of"]})
        assert at["chain"] == now["chain"] != before["chain"]
        for query, named in (("seq=99999", "`seq` lies ahead"), ("seq=0", "seq"), ("at=2026-03-10", "at")):
            wrong = await gateway.staff("GET", f"/campaigns/{campaign}?{query}")
            assert wrong.status_code in (400, 422), wrong.text
            assert named in wrong.text

    async def test_validate_says_why_not(self, gateway: GatewayPlatform, campaign: str) -> None:
        code = (await gateway.done("POST", f"/campaigns/{campaign}/claim", {"user": "v"}))["code"]
        good = await gateway.done("POST", "/coupons/validate", {"code": code, "campaign": campaign, "amount": 2000})
        assert (good["valid"], good["discount"]) == (True, 500)
        bad = await gateway.done("POST", "/coupons/validate", {"code": "NOTHING", "campaign": campaign})
        assert not bad["valid"]
        assert bad["reasons"]


class TestPlatform:
    async def test_building_rules_reach_every_lane_and_a_refusal_names_the_rule(
        self, gateway: GatewayPlatform, spring: dict[str, Any]
    ) -> None:
        before = await gateway.done("GET", "/building-rules")
        put = await gateway.done("PUT", "/building-rules", {"greatest_amount": {"EUR": 400}})
        assert put["version"] == before["version"] + 1
        assert put["known_everywhere"]
        refused = await gateway.staff("POST", "/campaigns", spring)
        problem = refused.json()
        assert (refused.status_code, problem["code"], problem["rule"]) == (
            422,
            "building_rule_forbids",
            "greatest_amount",
        )
        await gateway.done("PUT", "/building-rules", {})
        await gateway.done("POST", "/campaigns", spring)

    async def test_a_tool_gets_its_key_once_and_every_lane_knows_its_rights(self, gateway: GatewayPlatform) -> None:
        document = {"name": "batcher", "rights": ["generate", "issue"], "reply_topic": "batcher.replies"}
        added = await gateway.done("POST", "/tools", document, key="tool-1")
        assert (added["writer"], added["known_everywhere"]) == ("tool:batcher", True)
        assert added["key"]
        again = await gateway.done("POST", "/tools", document, key="tool-1")
        assert again["key"] is None
        listed = (await gateway.done("GET", "/tools"))["tools"]
        assert "batcher" in [tool["name"] for tool in listed]

    async def test_roles_say_what_a_token_may(
        self, gateway: GatewayPlatform, campaign: str, spring: dict[str, Any]
    ) -> None:
        viewer, app = await gateway.token("viewer"), await gateway.token("app")
        assert (await gateway.staff("GET", f"/campaigns/{campaign}", token=viewer)).status_code == 200
        for token in (viewer, app):
            refused = await gateway.staff("POST", "/campaigns", spring, token=token)
            assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
        assert (await gateway.staff("GET", "/campaigns", token=app)).status_code == 403
        assert (await gateway.staff("GET", "/campaigns", token="st_wrong")).status_code == 401
        operator = await gateway.token("operator")
        stop = await gateway.staff("POST", f"/campaigns/{campaign}/stop", {"reason": "x"}, token=operator)
        assert stop.status_code == 403

    async def test_a_revoked_token_ends_at_once_on_the_other_gateway_too(self, gateway: GatewayPlatform) -> None:
        token = await gateway.token("viewer")
        for instance in (0, 1):
            assert (await gateway.staff("GET", "/campaigns", token=token, instance=instance)).status_code == 200
        listed = (await gateway.done("GET", "/tokens"))["tokens"]
        await gateway.staff("DELETE", f"/tokens/{listed[-1]['id']}")
        assert (await gateway.staff("GET", "/campaigns", token=token)).status_code == 401
        assert (await gateway.staff("GET", "/campaigns", token=token, instance=1)).status_code == 401

    async def test_time_moves_forward_only_and_every_answer_says_that_it_is_told(
        self, gateway: GatewayPlatform
    ) -> None:
        back = await gateway.staff("POST", "/clock", {"to": "2026-03-01T00:00:00Z"})
        assert (back.status_code, back.json()["code"]) == (409, "clock_moves_forward")
        assert back.headers["scrip-time"] == "told"
        status = await gateway.done("GET", "/status")
        assert status["time"] == "told"
        assert status["core"]["answers"]
        assert not status["adapter"]["answers"]

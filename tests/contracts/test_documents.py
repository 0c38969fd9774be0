import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts import asyncapi, refusal_list
from contracts.generated_files import CONTRACTS_FOLDER
from contracts.identifiers import SCRIP
from contracts.partitioner import murmur2
from contracts.records import RECORDS
from contracts.refusals import REFUSALS
from contracts.topics import DAY_MS, FOREVER, TOPICS, Topic
from contracts.writers import VECTOR


class TestAsyncApi:
    def test_the_committed_document_is_what_the_contracts_say(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert asyncapi.main(["--check"]) == 0, capsys.readouterr().out

    def test_every_topic_and_every_record_stands_in_it(self) -> None:
        document = yaml.safe_load(asyncapi.FILE.read_text())
        assert document["asyncapi"] == "3.0.0"
        assert list(document["channels"]) == [topic.name for topic in TOPICS]
        names = {message["name"] for message in document["components"]["messages"].values()}
        assert names == {kind.name for kind in RECORDS}
        assert all(channel["messages"] for channel in document["channels"].values())

    def test_every_reference_leads_somewhere(self) -> None:
        document = yaml.safe_load(asyncapi.FILE.read_text())
        for reference in references(document):
            if reference.startswith("#/"):
                at = document
                for part in reference.removeprefix("#/").split("/"):
                    at = at[part]
            else:
                assert json.loads((asyncapi.FILE.parent / reference).read_text())["type"] == "object"


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [node["$ref"]] if "$ref" in node else [found for part in node.values() for found in references(part)]
    return [found for part in node for found in references(part)] if isinstance(node, list) else []


class TestReadme:
    TEXT = (CONTRACTS_FOLDER / "README.md").read_text()

    def test_it_gives_the_vectors_that_the_tests_check(self) -> None:
        assert VECTOR in self.TEXT
        assert str(SCRIP) in self.TEXT
        for key, value in (("21", 973932308), ("foobar", 790332482), ("abc", 479470107)):
            assert murmur2(key.encode()) in (value, 2**32 - value)
            assert f"`{key}` → {'' if key == 'abc' else '−'}{value}" in self.TEXT

    @pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: str(topic.name))
    def test_it_says_how_long_each_topic_is_kept(self, topic: Topic) -> None:
        name = "*.dead-letters" if topic.name.endswith(".dead-letters") else topic.name
        row = next(line for line in self.TEXT.splitlines() if line.startswith("| `") and f"`{name}`" in line)
        days = {FOREVER: "for ever", DAY_MS: "a day"}.get(topic.retention_ms, f"{topic.retention_ms // DAY_MS} days")
        assert ("compacted" if topic.compacted else days) in row


class TestRefusals:
    def test_the_committed_list_is_what_the_classes_say(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert refusal_list.main(["--check"]) == 0, capsys.readouterr().out

    def test_every_code_stands_in_it_and_every_fact_a_sentence_names_exists(self) -> None:
        text = refusal_list.FILE.read_text()
        for code, refusal in REFUSALS.items():
            assert f"| `{code}` |" in text
            named = {part.partition("}")[0] for part in refusal.message.split("{")[1:]}
            assert named <= refusal.model_fields.keys(), code

    def test_a_code_or_a_fact_that_was_renamed_turns_the_check_red_and_is_not_written_away(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        file = tmp_path / "refusals.md"
        file.write_text(
            refusal_list.document()
            .replace("| `campaign_not_found` |", "| `campaign_unknown` |")
            .replace("| `state`: text |", "| `condition`: text |", 1)
        )
        monkeypatch.setattr(refusal_list, "FILE", file)
        before = file.read_text()
        for asked in ("--check", "--write"):
            assert refusal_list.main([asked]) == 1
            said = capsys.readouterr().err
            assert "the code campaign_unknown was removed or renamed" in said
            assert re.search(r"the fact condition of \w+ was removed or renamed", said)
        assert file.read_text() == before

    def test_a_refusal_says_its_facts_in_its_sentence(self) -> None:
        refusal = REFUSALS["campaign_not_active"].model_validate({"state": "paused"})
        assert refusal.as_json() == {
            "code": "campaign_not_active",
            "message": "The campaign is paused; this needs an active one.",
            "facts": {"state": "paused"},
        }
        assert "(unknown redeemed_at)" in REFUSALS["coupon_already_redeemed"](coupon="c.1").as_json()["message"]


@pytest.mark.parametrize("module", [asyncapi, refusal_list])
def test_a_file_that_is_not_current_is_named_with_the_command_that_makes_it(
    module: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(module, "FILE", tmp_path / "made")
    assert module.main(["--check"]) == 1
    assert f"run `{module.COMMAND} --write`" in capsys.readouterr().out
    assert module.main(["--write"]) == 0
    assert module.main(["--check"]) == 0

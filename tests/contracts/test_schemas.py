import copy
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from contracts import schemas
from contracts.commands import COMMAND_RECORD, COMMANDS
from contracts.compatibility import breaking_changes
from contracts.events import EVENT_RECORD, EVENT_TYPES
from contracts.generated_files import CONTRACTS_FOLDER
from contracts.records import RECORDS, RecordKind

EXAMPLES = CONTRACTS_FOLDER / "examples"
OLD_EXAMPLES = sorted((EXAMPLES / "old").glob("*.json"))
KINDS = {kind.name: kind for kind in RECORDS}
FORMATS = jsonschema.FormatChecker()


@FORMATS.checks("date-time", raises=ValueError)
def is_an_instant(text: object) -> bool:
    """RFC 3339 with an offset; jsonschema alone does not look."""
    return not isinstance(text, str) or datetime.fromisoformat(text).tzinfo is not None


def validator(kind: RecordKind) -> jsonschema.Draft202012Validator:
    schema = json.loads((schemas.FOLDER / f"{kind.name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=FORMATS)


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"{name}.json").read_text())


def changed(document: Any, path: str, value: Any) -> Any:
    """A copy with another value at a dotted path; `...` removes what stands there."""
    made = copy.deepcopy(document)
    at = made
    *parents, last = path.split(".")
    for name in parents:
        at = at[int(name) if isinstance(at, list) else name]
    if value is ...:
        del at[last]
    else:
        at[int(last) if isinstance(at, list) else last] = value
    return made


def test_the_committed_schemas_are_what_the_models_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert schemas.main(["--check"]) == 0, capsys.readouterr().out


def test_every_command_event_and_other_record_is_listed() -> None:
    assert len(KINDS) == len(RECORDS)
    assert {f"scrip.command.{command.__name__}.v1" for command in COMMANDS} <= KINDS.keys()
    assert set(EVENT_TYPES.values()) <= KINDS.keys()
    assert all(kind.about for kind in RECORDS)


class TestExamples:
    def test_there_is_one_of_every_record_and_none_besides(self) -> None:
        assert {path.stem for path in EXAMPLES.glob("*.json")} == KINDS.keys()

    @pytest.mark.parametrize("name", KINDS)
    def test_an_example_is_read_by_its_model_and_valid_under_its_schema(self, name: str) -> None:
        text = (EXAMPLES / f"{name}.json").read_bytes()
        validator(KINDS[name]).validate(json.loads(text))
        KINDS[name].model.model_validate_json(text)

    @pytest.mark.parametrize("name", [kind.name for kind in RECORDS if kind.emitted])
    def test_an_example_of_what_we_emit_shows_every_field_and_is_written_again_as_it_stands(self, name: str) -> None:
        record = KINDS[name].model.model_validate(example(name))
        assert json.loads(record.model_dump_json()) == example(name) | (
            {"refusal": None} if name == "scrip.reply.v1" else {}
        )

    def test_commands_and_events_are_read_by_type(self) -> None:
        for kind in RECORDS:
            text = (EXAMPLES / f"{kind.name}.json").read_bytes()
            if kind.topics[0].name == "coupon.commands":
                assert type(COMMAND_RECORD.validate_json(text)) is kind.model
            if kind.topics[0].name == "coupon.events":
                assert type(EVENT_RECORD.validate_json(text)) is kind.model

    @pytest.mark.parametrize("path", OLD_EXAMPLES, ids=lambda path: str(path.stem))
    def test_an_old_example_is_still_read_and_still_valid(self, path: Path) -> None:
        kind = KINDS[path.stem.rpartition(".")[0]]
        text = path.read_bytes()
        validator(kind).validate(json.loads(text))
        kind.model.model_validate_json(text)

    def test_every_record_has_an_old_example(self) -> None:
        assert {path.stem.rpartition(".")[0] for path in OLD_EXAMPLES} == KINDS.keys()

    def test_a_reader_of_events_ignores_a_field_it_does_not_know(self) -> None:
        event = example("scrip.coupon.redeemed.v1")
        EVENT_RECORD.validate_python(changed(changed(event, "data.new", 1), "new", "x"), strict=False)


WRONG = [
    ("IssueCoupons", "surprise", 1),
    ("IssueCoupons", "data.surprise", 1),
    ("IssueCoupons", "type", ...),
    ("IssueCoupons", "type", "scrip.command.GiveCoupons.v1"),
    ("IssueCoupons", "specversion", "0.3"),
    ("IssueCoupons", "id", "17"),
    ("IssueCoupons", "notafter", ...),
    ("IssueCoupons", "party", "somebody"),
    ("IssueCoupons", "actor", ""),
    ("IssueCoupons", "actor", "a\0b"),
    ("IssueCoupons", "data.rows", []),
    ("IssueCoupons", "data.rows", [{"user": f"u{n}"} for n in range(501)]),
    ("IssueCoupons", "data.rows.0.user", 17),
    ("IssueCoupons", "data.rows.0.user", ""),
    ("IssueCoupons", "data.rows.0.user", "a\0b"),
    ("IssueCoupons", "data.rows.0.user", "x" * 65),
    ("IssueCoupons", "data.rows.0.code", "x" * 65),
    ("GenerateCampaign", "data.quantity", 0),
    ("GenerateCampaign", "data.quantity", -1),
    ("GenerateCampaign", "data.quantity", 1_000_000_001),
    ("GenerateCampaign", "data.quantity", "10"),
    ("GenerateCampaign", "data.quantity", 1.5),
    ("GenerateCampaign", "data.terms.name", ""),
    ("GenerateCampaign", "data.terms.currency", "euro"),
    ("GenerateCampaign", "data.terms.discount.kind", "bogo"),
    ("GenerateCampaign", "data.terms.discount.amount", 0),
    ("GenerateCampaign", "data.terms.discount", {"kind": "percent_off", "basis_points": 10_001}),
    ("GenerateCampaign", "data.terms.validity.ends", "soon"),
    ("GenerateCampaign", "data.terms.minimum_spend", -1),
    ("GenerateCampaign", "data.terms.validity.starts", "2026-03-01T00:00:00"),
    ("GenerateCampaign", "notafter", "2026-03-01T00:00:00"),
    ("GenerateCampaign", "data.terms.metadata", {"x" * 41: "y"}),
    ("GenerateCampaign", "data.supply", {"kind": "given"}),
    ("PublishCampaign", "data.supply", {"kind": "generated"}),
    ("UploadCodes", "data.codes", [""]),
    ("ExportCodes", "data.count", 1_000_001),
    ("ReserveCoupon", "data.seconds", 0),
    ("RedeemCoupon", "data.amount", -1),
    ("SetTool", "data.tool", "Print Shop"),
    ("SetTool", "data.rights", ["everything"]),
    ("SetMerchant", "data.state", "asleep"),
    ("SetMerchant", "data.version", 0),
]
BEYOND_SCHEMA = [
    ("IssueCoupons", "data.rows.0.user", "é" * 33),
    ("GenerateCampaign", "data.terms.validity.zone", "Mars/Olympus"),
    ("GenerateCampaign", "data.terms.validity.zone", "localtime"),  # whatever each machine is set to
]


class TestWrongCommands:
    @pytest.mark.parametrize(("name", "path", "value"), WRONG)
    def test_is_refused_by_the_model_and_by_the_schema(self, name: str, path: str, value: Any) -> None:
        wrong = changed(example(f"scrip.command.{name}.v1"), path, value)
        with pytest.raises(ValidationError):
            COMMAND_RECORD.validate_json(json.dumps(wrong))
        assert not validator(KINDS[f"scrip.command.{name}.v1"]).is_valid(wrong)

    @pytest.mark.parametrize(("name", "path", "value"), BEYOND_SCHEMA)
    def test_that_no_schema_can_tell_is_refused_by_the_model(self, name: str, path: str, value: Any) -> None:
        wrong = changed(example(f"scrip.command.{name}.v1"), path, value)
        with pytest.raises(ValidationError):
            COMMAND_RECORD.validate_json(json.dumps(wrong))

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b"null",
            b"[]",
            b"not json",
            b'{"type":',
            b"\xff\xfe",
            json.dumps(example("scrip.command.IssueCoupons.v1")).encode().replace(b"household-17", b"\\ud800"),
            json.dumps(example("scrip.command.IssueCoupons.v1")).encode().replace(b"household-17", b"\xed\xa0\x80"),
            b"[" * 100_000,
        ],
        ids=["empty", "null", "list", "no JSON", "cut off", "not UTF-8", "lone surrogate", "raw surrogate", "too deep"],
    )
    def test_bytes_that_are_no_command_are_refused_and_nothing_worse(self, value: bytes) -> None:
        with pytest.raises(ValidationError):
            COMMAND_RECORD.validate_json(value)


OBJECT: dict[str, Any] = {
    "$defs": {"Part": {"type": "object", "properties": {"kind": {"const": "a"}, "n": {"type": "integer"}}}},
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "maxLength": 10, "pattern": "^a"},
        "state": {"enum": ["new", "old"], "type": "string"},
        "count": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "default": None},
        "part": {"$ref": "#/$defs/Part"},
        "rows": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
    },
    "required": ["name", "state"],
}
BREAKS_ALL = [
    ("properties.name", ..., "the record: the property 'name' was removed"),
    ("required", ["name", "state", "rows"], "the record: the property 'rows' is required now and was not before"),
    ("properties.fresh", {"type": "string"}, None),
    ("properties.name.description", "The name.", None),
    ("properties.name.maxLength", 9, "the record, 'name': maxLength fell to 9"),
    ("properties.name.minLength", 1, "the record, 'name': minLength rose to 1"),
    ("properties.name.maxLength", 11, None),
    ("properties.name.pattern", "^b", "the record, 'name': pattern is another one now"),
    ("properties.name.format", "uuid", "the record, 'name': string is no longer allowed"),
    ("properties.name.type", "integer", "the record, 'name': string is no longer allowed"),
    ("properties.state.enum", ["new"], "the record, 'state': 'old' may no longer stand here"),
    ("properties.state.enum", ["new", "old", "odd"], None),
    ("properties.name.enum", ["a"], "the record, 'name': only 'a' may stand here now"),
    ("properties.count.anyOf", [{"type": "integer", "minimum": 1}], "the record, 'count': null is no longer allowed"),
    ("properties.count.anyOf.0.minimum", 2, "the record, 'count': minimum rose to 2"),
    ("properties.count.default", 7, "the record, 'count': the default changed from None to 7"),
    ("properties.rows.items.type", "integer", "the record, 'rows', each item: string is no longer allowed"),
    ("properties.rows.maxItems", 4, "the record, 'rows': maxItems fell to 4"),
    ("$defs.Part.properties.n.type", "string", "the record, 'part', 'n': integer is no longer allowed"),
    ("$defs.Part.properties.kind.const", "b", "the record, 'part': object a is no longer allowed"),
    ("$defs.Part.additionalProperties", False, "the record, 'part': other properties are no longer allowed"),
]
BREAKS_READERS = [
    ("required", ["name"], "the record: the property 'state' may be missing now and always stood there before"),
    (
        "properties.name",
        {"anyOf": [{"type": "string", "maxLength": 10, "pattern": "^a"}, {"type": "null"}]},
        "the record, 'name': null came to what readers may meet",
    ),
    (
        "properties.part",
        {"anyOf": [{"$ref": "#/$defs/Part"}, {"type": "string"}]},
        "the record, 'part': string came to what readers may meet",
    ),
]


class TestBreakingChanges:
    @pytest.mark.parametrize("emitted", [False, True], ids=["taken", "emitted"])
    @pytest.mark.parametrize(("path", "value", "named"), BREAKS_ALL)
    def test_to_any_record_are_named(self, path: str, value: Any, named: str | None, emitted: bool) -> None:
        found = breaking_changes(OBJECT, changed(OBJECT, path, value), emitted=emitted)
        if named is None:
            assert found == []
        else:
            assert named in found

    @pytest.mark.parametrize(("path", "value", "named"), BREAKS_READERS)
    def test_to_what_others_read_are_named_and_to_what_we_take_are_none(
        self, path: str, value: Any, named: str
    ) -> None:
        assert named in breaking_changes(OBJECT, changed(OBJECT, path, value), emitted=True)
        assert breaking_changes(OBJECT, changed(OBJECT, path, value), emitted=False) == []

    def test_no_schema_breaks_itself(self) -> None:
        for kind in RECORDS:
            schema = schemas.schema_of(kind.model)
            assert breaking_changes(schema, copy.deepcopy(schema), emitted=kind.emitted) == []

    def test_against_the_committed_schema_are_named_with_the_record_and_not_written(self, tmp_path: Path) -> None:
        for path, content in schemas.files(tmp_path).items():
            path.write_text(content)
        assert schemas.breaking(tmp_path) == []
        committed = tmp_path / "scrip.coupon.redeemed.v1.json"
        schema = json.loads(committed.read_text())
        schema["$defs"]["CouponRedeemed"]["properties"]["shop"] = {"type": "string"}
        committed.write_text(json.dumps(schema))
        (tmp_path / "scrip.coupon.sold.v1.json").write_text("{}")
        (removed, gone) = schemas.breaking(tmp_path)
        assert removed.startswith(
            "scrip.coupon.redeemed.v1 breaks: the record, 'data': the property 'shop' was removed"
        )
        assert "scrip.coupon.sold.v1.json: no such record any more" in gone

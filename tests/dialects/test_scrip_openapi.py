"""The description of `scrip` names exactly the operations there are."""

from dialects.scrip.openapi import paths, schemas
from dialects.scrip.requests import ROUTES


class TestTheDescription:
    def test_it_names_every_route_and_no_other(self) -> None:
        described = {(method.upper(), path) for path, methods in paths().items() for method in methods}
        assert described == {(route.method, route.path) for route in ROUTES}

    def test_every_schema_it_refers_to_is_there(self) -> None:
        known = {f"#/components/schemas/{name}" for name in schemas()} | {"#/components/schemas/Problem"}
        assert set(references(paths())) | set(references(schemas())) <= known

    def test_operations_have_names_of_their_own(self) -> None:
        names = [operation["operationId"] for methods in paths().values() for operation in methods.values()]
        assert len(names) == len(set(names))

    def test_every_operation_with_a_request_number_may_be_tried(self) -> None:
        for methods in paths().values():
            for operation in methods.values():
                names = {parameter["name"] for parameter in operation["parameters"]}
                assert ("Idempotency-Key" in names) == ("dry_run" in names), operation["operationId"]


def references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for inner in value.values() for found in references(inner)]
    return [found for inner in value for found in references(inner)] if isinstance(value, list) else []

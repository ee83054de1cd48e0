"""The schema: made without a warning, complete for every operation, and true of what is answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from api.examples import ANSWERS, REQUESTS
from api.views.schema import schema
from contacts.models import PhoneNumber, Workspace
from tests.api import Api, as_role
from tests.test_admin import make_lead, say


@pytest.fixture(autouse=True, scope="module")
def made_here() -> None:
    """Other tests have addresses of their own, and the schema is made once per process."""
    schema.cache_clear()


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in schema()["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def validator(of: Any) -> Draft202012Validator:
    whole = schema()
    resource = DRAFT202012.create_resource(whole)
    registry: Registry[Any] = Registry().with_resource("urn:api", resource)
    known = {"$ref": f"urn:api#{of['$ref'].removeprefix('#')}"} if "$ref" in of else of
    return Draft202012Validator(known, registry=registry)


def test_it_is_made_without_a_warning(tmp_path: Any) -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yml"))


def test_every_operation_says_what_it_is_and_what_can_go_wrong() -> None:
    names = [operation["operationId"] for *_, operation in operations()]
    assert len(names) == len(set(names)) > 40
    for method, path, operation in operations():
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"], where
        assert operation["security"] == [{"token": []}], where
        problems = {code for code in operation["responses"] if code >= "400"}
        assert problems >= {"400", "401", "403", "429", "500"}, where
        assert ("404" in problems) is ("{" in path), where
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description") or parameter["name"] == "id", f"{where} {parameter['name']}"


def test_every_body_and_every_answer_has_an_example_that_fits() -> None:
    for method, path, operation in operations():
        contents = [operation["requestBody"]["content"]] if "requestBody" in operation else []
        contents += [
            answer["content"] for code, answer in operation["responses"].items() if "content" in answer
        ]
        for content in contents:
            for kind, told in content.items():
                if kind not in ("application/json", "application/problem+json"):
                    continue
                where = f"{method} {path} {kind}"
                assert told.get("examples"), where
                for example in told["examples"].values():
                    errors = [
                        error.message for error in validator(told["schema"]).iter_errors(example["value"])
                    ]
                    assert errors == [], where


def test_examples_have_every_field() -> None:
    for serializer, example in ANSWERS.items():
        assert list(example) == list(serializer.names()), serializer
    for body, example in REQUESTS.items():
        assert set(example) <= set(body().fields), body


def test_bodies_allow_no_other_fields() -> None:
    for method, path, operation in operations():
        for kind, told in operation.get("requestBody", {}).get("content", {}).items():
            if kind == "application/json":
                name = told["schema"]["$ref"].rpartition("/")[2]
                assert schema()["components"]["schemas"][name]["additionalProperties"] is False, (
                    f"{method} {path}"
                )


@pytest.fixture
def manager(db: None) -> Api:
    lima = Workspace.objects.create(name="Lima", slug="lima")
    PhoneNumber.objects.create(workspace=lima, phone_number_id="111", display_phone_number="511")
    api = as_role("owner", lima)
    lead = make_lead(lima, "Ana", phone="51911110001", owner=api.user)
    say(lead)
    api.post(f"contacts/{lead.pk}/note/", {"text": "Wants blue"})
    api.post(f"contacts/{lead.pk}/follow-up/", {"due_at": "2028-01-01T00:00:00Z"})
    api.post(f"contacts/{lead.pk}/transition/", {"to": "qualified"})
    api.post("tags/", {"workspace": lima.pk, "name": "vip"})
    return api


def test_what_is_answered_is_what_the_schema_says(manager: Api) -> None:
    """Lists with a row, where there is one to have."""
    lists = [
        (path, operation)
        for method, path, operation in operations()
        if operation["operationId"].endswith("_list")
    ]
    with_rows = 0
    for path, operation in lists:
        answer = manager.get(path.removeprefix("/api/v1/"))
        (content,) = operation["responses"]["200"]["content"].values()
        assert [error.message for error in validator(content["schema"]).iter_errors(answer.body)] == [], path
        with_rows += bool(answer.body["results"])
    assert with_rows >= 9

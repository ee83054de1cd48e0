"""Whatever goes wrong is told as RFC 9457 says, and nothing that a program sends is an error of ours."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg.errors
import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, DataError, InternalError, OperationalError
from django.http import Http404
from django.test import Client
from django.urls import include, path
from django.utils.translation import get_language
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.problems import KINDS, MEDIA_TYPE, Problem, as_table
from api.urls import urlpatterns as api_urls
from api.views.base import ApiView
from api.views.schema import schema, with_idempotency
from contacts.changing import Refused, Stale
from contacts.merging import MergeRefused
from contacts.models import Contact, TransitionRefused, Workspace
from kapso_sync.patience import TooBusy
from tests.api import Program

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class Inner(serializers.Serializer[Any]):
    score = serializers.IntegerField()
    tags = serializers.ListField(child=serializers.CharField(max_length=3))


class Outer(serializers.Serializer[Any]):
    name = serializers.CharField()
    inner = Inner()


class Echo(ApiView):
    more_parameters = ("known",)
    raises: Exception | None = None

    def get(self, _: Request) -> Response:
        if self.raises:
            raise self.raises
        return Response({"language": get_language()})

    def post(self, request: Request) -> Response:
        return Response(request.data)

    def put(self, request: Request) -> Response:
        Outer(data=request.data).is_valid(raise_exception=True)
        return Response({})

    def patch(self, _: Request) -> Response:
        Workspace.objects.create(name="Half", slug="half")
        raise Refused("No.")


handler400 = "api.views.outside.bad_request"
urlpatterns = [path("api/v1/echo/", Echo.as_view()), path("api/", include("api.urls"))]


@pytest.fixture(autouse=True)
def not_for_others() -> Iterator[None]:
    """The schema is made once per process, and these addresses are of this file alone."""
    made = schema.cache_info().misses
    yield
    if schema.cache_info().misses > made:
        schema.cache_clear()


@pytest.fixture
def program() -> Program:
    return Program.of(User.objects.create_user("ana"))


def problem_of(answer: Any) -> dict[str, Any]:
    """The problem, if it is told as all are."""
    told: dict[str, Any] = answer.json()
    assert answer["Content-Type"] == MEDIA_TYPE
    assert told["status"] == answer.status_code
    kind = KINDS[told["type"].removeprefix("urn:leadcrm:problem:")]
    assert (told["title"], told["status"]) == (kind.title, kind.status)
    assert told["detail"]
    return told | {"slug": kind.slug}


def _database_error(kind: Callable[[str], Exception], state: str) -> DatabaseError:
    error: DatabaseError = kind("said by PostgreSQL")  # type: ignore[assignment]
    error.__cause__ = psycopg.errors.lookup(state)("said by PostgreSQL")
    return error


@pytest.mark.parametrize(
    ("error", "slug", "header"),
    [
        (Http404(), "not-found", ""),
        (exceptions.NotFound(), "not-found", ""),
        (Contact.DoesNotExist(), "internal-error", ""),  # whoever means 404 says so
        (PermissionDenied(), "forbidden", ""),
        (exceptions.PermissionDenied(), "forbidden", ""),
        (exceptions.NotAuthenticated(), "not-authenticated", "WWW-Authenticate"),
        (exceptions.ParseError(), "bad-request", ""),
        (Refused("Too long."), "conflict", ""),
        (Stale.of("the status", "New"), "stale", ""),
        (MergeRefused("They are one."), "merge-refused", ""),
        (_database_error(OperationalError, "55P03"), "busy", "Retry-After"),
        (_database_error(OperationalError, "40P01"), "busy", "Retry-After"),
        (_database_error(OperationalError, "08006"), "unavailable", "Retry-After"),
        (_database_error(InternalError, "25006"), "unavailable", "Retry-After"),
        (_database_error(DataError, "22003"), "internal-error", ""),
        (TooBusy(), "busy", "Retry-After"),
        (ZeroDivisionError(), "internal-error", ""),
        (Problem("conflict", "So it is."), "conflict", ""),
    ],
    ids=repr,
)
def test_every_exception_is_a_problem(
    program: Program, monkeypatch: pytest.MonkeyPatch, error: Exception, slug: str, header: str
) -> None:
    monkeypatch.setattr(Echo, "raises", error)
    answer = program.get("/api/v1/echo/")
    assert problem_of(answer)["slug"] == slug
    assert not header or answer[header]


def test_what_nobody_expected_is_in_the_log_and_not_in_the_answer(
    program: Program, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Echo, "raises", ValueError("a secret"))
    assert "a secret" not in program.get("/api/v1/echo/").content.decode()
    assert "a secret" in caplog.text


def test_a_refused_move_names_the_allowed_ones(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Workspace.objects.create(name="Shop", slug="shop")
    lead = Contact.objects.create(workspace=shop, phone="51911111111")
    with pytest.raises(TransitionRefused) as refusal:
        lead.change_status("converted", by=None)
    monkeypatch.setattr(Echo, "raises", refusal.value)
    told = problem_of(program.get("/api/v1/echo/"))
    assert (told["slug"], told["allowed"]) == ("transition-refused", ["qualified", "archived"])


def test_errors_have_the_path_of_their_field(program: Program) -> None:
    told = problem_of(
        program.send("PUT", "/api/v1/echo/", {"inner": {"score": "x", "tags": ["ok", "too long"]}})
    )
    assert told["slug"] == "invalid-fields"
    assert [(each["field"], each["code"]) for each in told["errors"]] == [
        ("name", "required"),
        ("inner.score", "invalid"),
        ("inner.tags.1", "max_length"),
    ]
    assert all(each["detail"] for each in told["errors"])


def test_what_was_refused_is_not_written_by_half(program: Program) -> None:
    assert problem_of(program.patch("/api/v1/echo/", {}))["slug"] == "conflict"
    assert not Workspace.objects.exists()


@pytest.mark.parametrize(
    ("parameters", "field", "code"),
    [({"knwon": "1"}, "knwon", "unknown"), ({"known": ["1", "2"]}, "known", "repeated")],
)
def test_no_parameter_is_overlooked(program: Program, parameters: Any, field: str, code: str) -> None:
    told = problem_of(program.get("/api/v1/echo/", **parameters))
    assert told["slug"] == "invalid-parameter"
    assert [(each["field"], each["code"]) for each in told["errors"]] == [(field, code)]


def test_a_thousand_parameters_are_too_many(program: Program) -> None:
    answer = program.get("/api/v1/echo/", known=[str(number) for number in range(1001)])
    assert problem_of(answer)["slug"] == "bad-request"


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        (b"{", "malformed-body"),
        (b"{'a': 1}", "malformed-body"),
        (b"\xff\xfe", "malformed-body"),
        (b'{"a": NaN}', "malformed-body"),
        (b'{"a": -Infinity}', "malformed-body"),
        (b'{"a": 1e999}', "malformed-body"),
        (b'{"a": 1, "a": 2}', "malformed-body"),
        (b'{"a": 9223372036854775808}', "malformed-body"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "malformed-body"),
        (b"[" * 17 + b"]" * 17, "malformed-body"),
        (b"[" * 100_000 + b"]" * 100_000, "malformed-body"),
        (b'{"a": ["\\u0000"]}', "invalid-fields"),
        (b'{"a": "\\ud800"}', "invalid-fields"),
        (b'{"a\\u0000": 1}', "invalid-fields"),
    ],
    ids=lambda value: repr(value[:30]) if isinstance(value, bytes) else value,
)
def test_json_that_could_be_misread_is_refused(program: Program, body: bytes, slug: str) -> None:
    told = problem_of(program.post("/api/v1/echo/", body))
    assert told["slug"] == slug
    assert len(told["detail"]) < 300


@pytest.mark.parametrize(
    "body", [b'{"a": [1, 2.5, "x", null, true, {"b": "\xf0\x9f\x98\x80"}]}', b"", b"  ", b"[]"]
)
def test_other_json_is_read_as_it_is(program: Program, body: bytes) -> None:
    assert program.post("/api/v1/echo/", body).json() == json.loads(body.strip() or b"{}")


def test_a_body_in_chunks_is_read_to_its_end(program: Program) -> None:
    environment = {
        "CONTENT_TYPE": "application/json",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input": io.BytesIO(b'{"a": 1}'),
    }
    headers = {"Authorization": f"Bearer {program.text}"}
    answer = Client().generic("POST", "/api/v1/echo/", headers=headers, **environment)  # type: ignore[arg-type]
    assert answer.json() == {"a": 1}


def test_another_type_is_not_understood(program: Program) -> None:
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "x"):
        answer = program.post("/api/v1/echo/", b"a=1", **{"Content-Type": kind})
        assert problem_of(answer)["slug"] == "unsupported-media-type", kind


def test_a_body_that_is_too_large_is_refused(program: Program) -> None:
    answer = program.post("/api/v1/echo/", b" " * (8 * 1024 * 1024 + 1))
    assert problem_of(answer)["slug"] == "too-large"


def test_an_answer_of_another_type_there_is_not(program: Program) -> None:
    answer = program.client.get(
        "/api/v1/echo/", headers={"Accept": "text/html", "Authorization": f"Bearer {program.text}"}
    )
    assert problem_of(answer)["slug"] == "not-acceptable"


@pytest.mark.parametrize(
    "method", ["DELETE", "OPTIONS", "TRACE", "PURGE", "DISPATCH", "INITIAL", "__CLASS__"]
)
def test_a_method_that_is_not_there_names_those_that_are(program: Program, method: str) -> None:
    answer = program.send(method, "/api/v1/echo/")
    assert problem_of(answer)["slug"] == "method-not-allowed"
    assert answer["Allow"] == "GET, HEAD, POST, PUT, PATCH"


@pytest.mark.parametrize("address", ["", "v1/", "v1/nothing/", "v2/", "v1/%00/", "v1/%0a", "v1/%ff/", "../x"])
def test_what_is_not_there_is_a_problem_too(address: str) -> None:
    assert problem_of(Client().get(f"/api/{address}"))["slug"] == "not-found"


def test_every_view_below_api_answers_in_this_way() -> None:
    views = [pattern.callback for pattern in _patterns(api_urls)]
    assert views
    assert [view for view in views if not issubclass(getattr(view, "cls", object), ApiView)] == []


def _patterns(patterns: list[Any]) -> Iterator[Any]:
    for each in patterns:
        if hasattr(each, "url_patterns"):
            yield from _patterns(each.url_patterns)
        else:
            yield each


@pytest.mark.parametrize("accept", ["*/*", "application/yaml", "application/json"])
def test_a_problem_is_json_also_where_something_else_is_asked_for(accept: str) -> None:
    answer = Client().get("/api/schema/?format=json", headers={"Accept": accept})
    assert problem_of(answer)["slug"] == "invalid-parameter"


def test_the_schema_is_openapi_and_for_everybody() -> None:
    answer = Client().get("/api/schema/", headers={"Accept": "application/json", "Accept-Language": "es"})
    told = answer.json()
    assert (answer.status_code, told["openapi"]) == (200, "3.1.0")
    assert all(address.startswith("/api/v1/") for address in told["paths"])


def test_every_write_takes_an_idempotency_key_and_no_read_does() -> None:
    told = with_idempotency({"paths": {"/a/": {"get": {}, "post": {"parameters": [{"name": "b"}]}}}})
    operations = told["paths"]["/a/"]
    assert operations["get"] == {}
    assert [each["name"] for each in operations["post"]["parameters"]] == ["b", "Idempotency-Key"]


def test_the_table_of_problems_is_complete() -> None:
    table = as_table()
    assert [line.split("`")[1] for line in table.splitlines()[2:]] == [kind.type for kind in KINDS.values()]
    assert len({kind.title for kind in KINDS.values()}) == len(KINDS)
    assert all(kind.what_to_do.endswith(".") for kind in KINDS.values())


def test_a_missing_slash_is_told() -> None:
    told = problem_of(Client().post("/api/v1/echo"))
    assert (told["slug"], "/api/v1/echo/" in told["detail"]) == ("not-found", True)


def test_answers_are_english_whatever_the_browser_speaks(program: Program) -> None:
    headers = {"Accept-Language": "es", "Authorization": f"Bearer {program.text}"}
    answer = program.client.get("/api/v1/echo/", headers=headers)
    assert answer.json() == {"language": "en"}
    assert answer["Content-Language"] == "en"


def test_a_host_that_is_not_ours_is_told_as_a_problem(program: Program) -> None:
    answer = Client().get("/api/v1/echo/", headers={"Host": "evil.example"})
    assert problem_of(answer)["slug"] == "bad-request"

"""That the tables could be distributed by their workspace (Citus): what cannot yet is listed, and its plan written down.

A table can be when its rows carry their workspace; a unique constraint when the workspace is among its columns, or may
be put there without letting in what it kept out: where another of its columns is a row of one workspace.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db.models import F, Field, ForeignKey, Model, UniqueConstraint

PLANS = (Path(__file__).resolve().parent.parent / "docs" / "scaling.md").read_text()

# Tables whose rows do not carry a workspace, or not at once.
TABLES = {
    "contacts_automationevent",
    "contacts_changeskept",
    "contacts_importpiece",
    "contacts_importrow",
    "contacts_preferences",
    "kapso_sync_answercount",
    "kapso_sync_deliveryattempt",
    "kapso_sync_tally",
    "kapso_sync_webhookdelivery",
    "api_token",
    "api_keptanswer",
}
# Others' tables: users and what they do, jobs. None grows with leads or messages.
APPS = {"admin", "auth", "axes", "contenttypes", "procrastinate", "sessions"}
# Unique constraints that hold over all workspaces, of tables that carry theirs.
KEYS = {"workspace_slug", "phone_number_once", "contacts_invitation.token_digest", "notification_once"}
# Their rows have the numbers of those that they stand beside.
BESIDE = {"contacts_searchedlead", "contacts_searchedmessage"}
# Whom rows of every workspace refer to.
REFERENCED = {"auth_user"}

OURS = ("contacts", "kapso_sync", "api")
MODELS = [model for name in OURS for model in apps.get_app_config(name).get_models()]


def table(model: type[Model]) -> str:
    return model._meta.db_table


def carries(model: type[Model]) -> bool:
    """Whether each row says its workspace, from the beginning and for ever."""
    if table(model) == "contacts_workspace":
        return True
    fields = {field.name: field for field in model._meta.local_fields}
    return "workspace" in fields and not fields["workspace"].null


def is_of_one_workspace(model: type[Model], name: str) -> bool:
    field: Any = model._meta.get_field(name)
    return name == "workspace" or (isinstance(field, ForeignKey) and carries(field.related_model))


def columns(constraint: UniqueConstraint) -> Iterator[str]:
    yield from constraint.fields
    yield from (str(each.deconstruct()[1][0]) for each in constraint.expressions if isinstance(each, F))


def keys(model: type[Model]) -> Iterator[tuple[str, list[str]]]:
    for constraint in model._meta.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield constraint.name, list(columns(constraint))
    for field in model._meta.local_fields:
        if field.unique and not field.primary_key:
            yield f"{table(model)}.{field.name}", [field.name]


def test_every_table_carries_its_workspace_or_is_listed() -> None:
    assert {table(model) for model in MODELS if not carries(model)} == TABLES


def test_others_tables_are_listed() -> None:
    assert {model._meta.app_label for model in apps.get_models()} - set(OURS) == APPS


def test_every_natural_key_is_of_one_workspace_or_is_listed() -> None:
    wide = {
        key
        for model in MODELS
        if table(model) not in TABLES
        for key, names in keys(model)
        if not any(is_of_one_workspace(model, name) for name in names)
    }
    assert wide == KEYS


def test_rows_refer_to_their_own_workspace_or_to_what_every_machine_has() -> None:
    def leads_elsewhere(field: Field[Any, Any]) -> bool:
        if not isinstance(field, ForeignKey):
            return False
        target: Any = field.related_model
        return not carries(target) and table(target) not in REFERENCED

    astray = {
        f"{table(model)}.{field.name}"
        for model in MODELS
        if carries(model)
        for field in model._meta.local_fields
        if leads_elsewhere(field)
    }
    assert astray == set()


def test_every_row_has_a_number_that_no_other_machine_gives_out() -> None:
    """Surrogate keys are bigint from a sequence: the one kind that Citus hands out without asking the others."""
    kinds = {model._meta.pk.get_internal_type() for model in MODELS if table(model) not in BESIDE}
    assert kinds == {"BigAutoField"}


@pytest.mark.parametrize("name", sorted(TABLES | KEYS | APPS))
def test_what_is_listed_has_a_plan(name: str) -> None:
    assert f"`{name}`" in PLANS

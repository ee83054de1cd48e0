"""What an owner arranges: the settings of a workspace, its tags, its custom fields."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from psycopg.errors import LockNotAvailable

from contacts.models import Contact, CustomField, LeadChange, Tag, Workspace
from tests.test_admin import make_lead, post_of
from tests.test_members import HOSTILE, page, said
from tests.test_members import lima as lima
from tests.test_members import olga as olga
from tests.test_members import rio as rio
from tests.test_rights import at_desk, somebody


def settings_of(client: Client, workspace: Workspace, **typed: Any) -> Any:
    address = page(workspace, "change")
    return client.post(address, post_of(client.get(address), **typed), follow=True)


def errors_of(response: Any) -> dict[str, Any]:
    return dict(response.context["adminform"].form.errors)


def test_settings_are_shown_and_saved(lima: Workspace, olga: Client) -> None:
    form = olga.get(page(lima, "change")).context["adminform"].form
    assert [form[name].value() for name in ("opens_0", "closes_4", "opens_5", "follow_up_every")] == [
        "09:00",
        "18:00",
        None,
        3,
    ]
    typed = {
        "name": " Lima  Centro ", "time_zone": "america/lima", "opens_5": "10:00", "closes_5": "13:30", "opens_0": "",
        "closes_0": "", "follow_up_every": "30", "follow_up_unit": "hours", "agents_see_all": "", "assigns_in_turn": "on",
    }  # fmt: skip
    settings_of(olga, lima, **typed)
    lima.refresh_from_db()
    assert (lima.name, lima.slug, lima.time_zone) == ("Lima Centro", "lima", "America/Lima")
    assert lima.business_hours == [None, *[["09:00", "18:00"]] * 4, ["10:00", "13:30"], None]
    assert (lima.follow_up_hours, lima.agents_see_all, lima.assigns_in_turn) == (30, False, True)


@pytest.mark.parametrize(
    ("typed", "field", "reason"),
    [
        ({"name": " "}, "name", "required"),
        ({"time_zone": "Middle/Earth"}, "time_zone", "There is no such time zone."),
        ({"time_zone": ""}, "time_zone", "required"),
        ({"time_zone": "../../etc/passwd"}, "time_zone", "There is no such time zone."),
        ({"opens_1": "19:00"}, "closes_1", "It closes after it opens."),
        ({"opens_1": "18:00"}, "closes_1", "It closes after it opens."),
        ({"closes_1": ""}, "closes_1", "Enter both times"),
        ({"opens_6": "08:00"}, "closes_6", "Enter both times"),
        ({"opens_1": "25:00"}, "opens_1", "valid time"),
        ({"follow_up_every": "0"}, "follow_up_every", "greater than or equal to 1"),
        ({"follow_up_every": "367", "follow_up_unit": "days"}, "follow_up_every", "A year at most."),
        ({"follow_up_every": "many"}, "follow_up_every", "whole number"),
        ({"follow_up_unit": "years"}, "follow_up_unit", "valid choice"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    typed: dict[str, str], field: str, reason: str, lima: Workspace, olga: Client
) -> None:
    before = Workspace.objects.values().get()
    answer = settings_of(olga, lima, **typed)
    assert reason in str(errors_of(answer)[field])
    assert Workspace.objects.values().get() == before


def test_saving_settings_leaves_the_salt_that_came_meanwhile(lima: Workspace, olga: Client) -> None:
    address = page(lima, "change")
    sent = post_of(olga.get(address), name="Lima Norte")
    with CaptureQueriesContext(connection) as captured:
        olga.post(address, sent)
    statements = [query["sql"] for query in captured]
    (update,) = [sql for sql in statements if sql.startswith('UPDATE "contacts_workspace"')]
    assert "business_hours" in update
    assert "tombstone_salt" not in update


def test_leads_that_are_busy_are_said_to_be(
    lima: Workspace, olga: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any, **__: Any) -> None:
        raise OperationalError from LockNotAvailable

    tag = Tag.objects.create(workspace=lima, name="warm")
    monkeypatch.setattr("contacts.arranging.delete_tag", busy)
    done = olga.post(page(lima, "tags", tag.pk, "delete"), follow=True)
    assert "Nothing was changed. Please try again." in said(done)


def test_an_owner_does_not_change_the_slug(lima: Workspace, olga: Client) -> None:
    settings_of(olga, lima, slug="mine")
    lima.refresh_from_db()
    assert lima.slug == "lima"


def test_other_members_read_the_settings_and_nothing_hostile_runs(lima: Workspace, olga: Client) -> None:
    Workspace.objects.filter(pk=lima.pk).update(name=HOSTILE)
    text = at_desk(somebody("vera", viewer=lima)).get(page(lima, "change")).content.decode()
    assert "Monday 09:00–18:00" in text
    assert 'name="time_zone"' not in text
    assert f"/workspace/{lima.pk}/members/" not in text
    for address in (page(lima, "change"), page(lima, "members"), page(lima, "tags"), "/admin/"):
        assert "<script>alert(1)" not in olga.get(address).content.decode()


def test_no_select_has_more_than_a_hundred_options(lima: Workspace, olga: Client) -> None:
    for address in (page(lima, "change"), page(lima, "members"), "/admin/preferences/"):
        text = olga.get(address).content.decode()
        selects = [part.partition("</select>")[0] for part in text.split("<select")[1:]]
        assert max((part.count("<option") for part in selects), default=0) <= 100


# Tags


def test_tags_are_added_once_whatever_the_case(lima: Workspace, olga: Client) -> None:
    for name in ("VIP", "vip", " V I P ", "a,b", "", "x" * 51, "nul\x00"):
        olga.post(page(lima, "tags"), {"name": name})
    assert list(Tag.objects.values_list("name", flat=True)) == ["V I P", "VIP"]


def test_renaming_a_tag_renames_it_on_every_lead_in_one_statement(
    lima: Workspace, rio: Workspace, olga: Client, django_assert_num_queries: Any
) -> None:
    tag = Tag.objects.create(workspace=lima, name="warm")
    leads = [make_lead(lima, tags=["a", "warm", "z"]) for _ in range(5)]
    both, none, elsewhere = (
        make_lead(lima, tags=["hot", "warm"]),
        make_lead(lima, tags=["cold"]),
        make_lead(rio, tags=["warm"]),
    )
    done = olga.post(page(lima, "tags", tag.pk), {"name": "hot"}, follow=True)
    assert "The tag was renamed. 6 leads changed." in said(done)
    tags = dict(Contact.objects.values_list("pk", "tags"))
    assert all(tags[lead.pk] == ["a", "hot", "z"] for lead in leads)
    assert (tags[both.pk], tags[none.pk], tags[elsewhere.pk]) == (["hot"], ["cold"], ["warm"])
    change = LeadChange.objects.get(contact=leads[0])
    assert (change.kind, change.before, change.after) == ("tags", ["a", "warm", "z"], ["a", "hot", "z"])
    assert change.by is not None
    assert LeadChange.objects.count() == 6
    assert Tag.objects.get().name == "hot"


def test_renaming_into_another_tag_makes_one_of_the_two(lima: Workspace, olga: Client) -> None:
    Tag.objects.create(workspace=lima, name="Hot")
    tag = Tag.objects.create(workspace=lima, name="warm")
    lead = make_lead(lima, tags=["warm", "Hot"])
    olga.post(page(lima, "tags", tag.pk), {"name": "hot"})
    lead.refresh_from_db()
    assert lead.tags == ["Hot"]
    assert [known.name for known in Tag.objects.all()] == ["Hot"]


def test_a_tag_is_renamed_in_case_only(lima: Workspace, olga: Client) -> None:
    tag = Tag.objects.create(workspace=lima, name="vip")
    lead = make_lead(lima, tags=["vip"])
    olga.post(page(lima, "tags", tag.pk), {"name": "VIP"})
    lead.refresh_from_db()
    assert (lead.tags, Tag.objects.get().name) == (["VIP"], "VIP")


def test_deleting_a_tag_says_first_how_many_leads_have_it(lima: Workspace, olga: Client) -> None:
    tag = Tag.objects.create(workspace=lima, name=HOSTILE[:50])
    lead = make_lead(lima, tags=[tag.name, "x"])
    text = olga.get(page(lima, "tags", tag.pk, "delete")).content.decode()
    assert "1 lead has it." in text
    assert "<script>alert(1)" not in text
    olga.post(page(lima, "tags", tag.pk, "delete"))
    lead.refresh_from_db()
    assert (lead.tags, Tag.objects.count()) == (["x"], 0)
    assert LeadChange.objects.get().after == ["x"]


def test_tags_and_fields_of_another_workspace_are_not_found(
    lima: Workspace, rio: Workspace, olga: Client
) -> None:
    tag = Tag.objects.create(workspace=rio, name="warm")
    field = CustomField.objects.create(workspace=rio, key="k", label="K")
    for rest in (
        ("tags", tag.pk),
        ("tags", tag.pk, "delete"),
        ("fields", field.pk),
        ("fields", field.pk, "delete"),
        ("fields", field.pk, "move"),
    ):
        for workspace in (lima, rio):
            assert olga.post(page(workspace, *rest), {"name": "x", "label": "x"}).status_code == 404
    assert (Tag.objects.count(), CustomField.objects.count()) == (1, 1)


# Custom fields


def add(client: Client, workspace: Workspace, label: str, kind: str = "text", choices: str = "") -> Any:
    return client.post(page(workspace, "fields"), {"label": label, "kind": kind, "choices": choices})


def test_fields_get_keys_that_never_meet(lima: Workspace, olga: Client) -> None:
    for label in ("Budget", "budget!", "预算", "预算"):
        assert add(olga, lima, label).status_code == 302
    assert list(CustomField.objects.values_list("key", "label", "position")) == [
        ("budget", "Budget", 1), ("budget_2", "budget!", 2), ("field", "预算", 3), ("field_2", "预算", 4),
    ]  # fmt: skip


def test_a_choice_needs_choices(lima: Workspace, olga: Client) -> None:
    for choices in ("", "one", "one\n one \n\n", "\n".join(map(str, range(101))), "x" * 101 + "\ny"):
        assert add(olga, lima, "Size", "choice", choices).status_code == 200
    assert add(olga, lima, "Size", "planet").status_code == 200
    assert not CustomField.objects.exists()
    add(olga, lima, "Size", "choice", "small\r\n  large \n\nsmall")
    assert CustomField.objects.get().choices == ["small", "large"]
    add(olga, lima, "Text", "text", "of no use\nhere")
    assert CustomField.objects.get(label="Text").choices == []


def test_a_field_is_relabelled_under_the_same_key_and_kind(lima: Workspace, olga: Client) -> None:
    field = CustomField.objects.create(
        workspace=lima, key="size", label="Size", kind="choice", choices=["S", "L"]
    )
    data = {"label": HOSTILE[:90], "kind": "number", "choices": "S\nM\nL", "key": "other"}
    done = olga.post(page(lima, "fields", field.pk), data, follow=True)
    assert "<script>alert(1)" not in done.content.decode()
    field.refresh_from_db()
    assert (field.key, field.kind, field.choices, field.label) == (
        "size",
        "choice",
        ["S", "M", "L"],
        HOSTILE[:90],
    )


def test_fields_move_up_and_down_and_not_beyond_the_ends(lima: Workspace, olga: Client) -> None:
    for label in "abc":
        CustomField.objects.create(workspace=lima, key=label, label=label)  # all at the same place
    order = CustomField.objects.order_by("position", "id").values_list("label", flat=True)
    for label, to, expected in (
        ("c", "up", "acb"),
        ("a", "up", "acb"),
        ("a", "down", "cab"),
        ("b", "down", "cab"),
    ):
        olga.post(page(lima, "fields", CustomField.objects.get(label=label).pk, "move"), {"to": to})
        assert "".join(order.all()) == expected


def test_deleting_a_field_warns_and_histories_keep_the_values(lima: Workspace, olga: Client) -> None:
    field = CustomField.objects.create(workspace=lima, key="size", label="Size")
    lead, other = make_lead(lima, metadata={"size": "XL", "keep": 1}), make_lead(lima, metadata={"keep": 2})
    assert "1 lead has it." in olga.get(page(lima, "fields", field.pk, "delete")).content.decode()
    done = olga.post(page(lima, "fields", field.pk, "delete"), follow=True)
    assert "The field was deleted. 1 lead changed." in said(done)
    assert dict(Contact.objects.values_list("pk", "metadata")) == {
        lead.pk: {"keep": 1},
        other.pk: {"keep": 2},
    }
    change = LeadChange.objects.get()
    assert (change.kind, change.field, change.before, change.after) == ("field", "size", "XL", None)
    assert not CustomField.objects.exists()


def test_counting_ends_where_it_is_many(
    lima: Workspace, olga: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contacts.arranging.MOST_COUNTED", 2)
    tag = Tag.objects.create(workspace=lima, name="warm")
    for _ in range(4):
        make_lead(lima, tags=["warm"])
    assert "More than 2 leads have it." in olga.get(page(lima, "tags", tag.pk, "delete")).content.decode()


def test_a_superuser_arranges_every_workspace(lima: Workspace) -> None:
    boss = at_desk(User.objects.create_superuser("boss"))
    settings_of(boss, lima, slug="lima-2")
    boss.post(page(lima, "tags"), {"name": "vip"})
    lima.refresh_from_db()
    assert (lima.slug, Tag.objects.get().workspace) == ("lima-2", lima)

"""Everything that is stored about one person, as one file; and the pages and commands for that and for erasing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from contacts.erasing import Person
from contacts.exporting import LEFT_OUT
from contacts.models import AutomationEvent, Contact, Membership, Message, Role
from kapso_sync.exporting import ELSEWHERE, NOT_READ, OF_OTHERS, export_person
from kapso_sync.models import WebhookDelivery
from tests.builders import (
    ANA,
    ANA_ID,
    BEA,
    BEA_ID,
    LIMA,
    SAOPAULO,
    UNKNOWN,
    Desk,
    batch,
    contact_updated,
    message,
    meta,
    moment,
    reaction,
    sent,
    session_event,
    status,
)
from tests.whole_database import places_of


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def staff(desk: Desk) -> Client:
    """Somebody who works in Lima."""
    return login(desk, LIMA)


def login(desk: Desk, number: str) -> Client:
    user = User.objects.create_user(f"of-{number}", is_staff=True)
    Membership.objects.create(workspace=desk.numbers[number].workspace, user=user, role=Role.OWNER)
    client = Client()
    client.force_login(user)
    return client


def tell_of_ana(desk: Desk) -> Contact:
    desk.told(
        message("m1", 1, user_id=ANA_ID, name="Ana", text="Hola \x00 <b>\u202e"),
        sent("m2", 2, text="Our answer", statuses=[status("sent", 2), status("read", 3)]),
        reaction("m3", 4, "m2", "👍"),
    )
    desk.post(contact_updated(ANA, "Ana Flores"), "contact.updated")
    desk.post(session_event("s1", 5), "whatsapp.conversation.ended")
    lead = desk.lead()
    lead.change_status("qualified", by=None, reason="asked for a price")
    return lead


def exported(lead: Contact) -> Any:
    return json.loads("".join(export_person(Person.of(lead.workspace_id, lead.pk))))


def test_the_file_holds_everything_that_is_stored(desk: Desk) -> None:
    lead = tell_of_ana(desk)
    told = exported(lead)
    assert (told["format"], told["workspace"]) == ("leadcrm person 1", {"name": "Lima", "slug": "lima"})
    assert [row["phone"] for row in told["leads"]] == [ANA]
    assert {(row["kind"], row["value"]) for row in told["identities"]} == {("phone", ANA), ("user", ANA_ID)}
    assert all(row["first_seen_at"] for row in told["identities"])
    names = [(row["value"], row["of"]) for row in told["profile"] if row["field"] == "name"]
    assert ("Ana", ANA_ID) in names
    assert ("Ana Flores", f"+{ANA}") in names
    assert [row["reason"] for row in told["status_changes"]] == ["asked for a price"]
    assert {row["kapso_conversation_id"] for row in told["sessions"]} >= {"s1"}
    first, answer, thumb = told["messages"]
    assert first["content"] == "Hola \ufffd <b>\u202e"
    assert (answer["status"], answer["statuses"]["read_at"][:19]) == ("read", moment(3).isoformat()[:19])
    assert answer["reactions"] == [
        {"direction": "inbound", "emoji": "👍", "at": moment(4).isoformat().replace("+00:00", "Z")}
    ]
    assert thumb["target_kapso_id"] == "m2"
    assert len(told["deliveries"]) == 5
    assert json.loads(told["deliveries"][0]["body"])["message"]["id"] == "m1"


def test_every_column_of_a_message_is_in_the_file(desk: Desk) -> None:
    told = exported(tell_of_ana(desk))["messages"][0]
    columns = {field.name for field in Message._meta.concrete_fields} - LEFT_OUT
    assert told.keys() == columns | {"statuses", "reactions"}


def test_nobody_else_is_in_the_file(desk: Desk) -> None:
    desk.post(
        batch(message("m1", 1, name="Ana"), message("m2", 2, phone=BEA, name="Bea Campos", text="mine"))
    )
    desk.told(
        message("m3", 3, phone=BEA, user_id=BEA_ID), message("m4", 4, number=SAOPAULO, text="elsewhere")
    )
    told = exported(desk.lead())
    assert [row["withheld"] for row in told["deliveries"]] == [OF_OTHERS]
    text = json.dumps(told)
    assert not [
        word for word in (BEA, BEA_ID, "Campos", "mine", "m2", "m3", "elsewhere") if f'"{word}' in text
    ]


def test_it_takes_no_more_statements_for_more_messages(desk: Desk) -> None:
    counts = []
    for size in (1, 30):
        desk.told(*(message(f"m{size}-{index}", index) for index in range(size)))
        with CaptureQueriesContext(connection) as captured:
            exported(desk.lead())
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_the_page_hands_out_a_file_with_a_harmless_name(desk: Desk, staff: Client) -> None:
    lead = tell_of_ana(desk)
    response = staff.get(reverse("lead-export", args=[lead.pk]))
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert response.headers["Content-Disposition"] == f'attachment; filename="lead-{lead.pk}.json"'
    assert b"".join(response.streaming_content).count(b"Our answer") >= 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", ["lead-export", "lead-erase"])
def test_leads_of_others_do_not_exist(desk: Desk, page: str) -> None:
    lead = tell_of_ana(desk)
    url = reverse(page, args=[lead.pk])
    elsewhere = login(desk, SAOPAULO)
    assert elsewhere.get(url).status_code == 404
    assert elsewhere.post(url, {"typed": ANA}).status_code in (404, 405)
    assert Client().get(url).status_code == 302  # to the login
    assert Contact.objects.filter(pk=lead.pk).exists()


def test_the_page_says_what_goes_and_asks_for_the_name(desk: Desk, staff: Client) -> None:
    lead = tell_of_ana(desk)
    assert (
        reverse("lead-erase", args=[lead.pk])
        in staff.get(reverse("admin:contacts_contact_change", args=[lead.pk])).content.decode()
    )
    url = reverse("lead-erase", args=[lead.pk])
    page = staff.get(url).content.decode()
    assert "<b>3</b> messages" in page
    assert "<b>2</b> phones and user IDs" in page
    for wrong in ("", "Bea", "5191111"):
        page = staff.post(url, {"typed": wrong}).content.decode()
        assert "Nothing was erased" in page
    assert Contact.objects.filter(pk=lead.pk).exists()


@pytest.mark.parametrize("typed", ["ana ", "+51 911 110-001"])
def test_the_name_or_the_phone_erases(desk: Desk, staff: Client, typed: str) -> None:
    lead = tell_of_ana(desk)
    url = reverse("lead-erase", args=[lead.pk])
    response = staff.post(url, {"typed": typed}, follow=True)
    assert "The person was erased, and 5 stored deliveries cleared." in response.content.decode()
    assert places_of(ANA, ANA_ID, "Ana Flores") == []
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.object_repr) == (str(lead.pk), f"Lead {lead.pk}")
    assert staff.get(url).status_code == 404


def test_too_many_deliveries_for_a_page_need_the_command(
    desk: Desk, staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = tell_of_ana(desk)
    monkeypatch.setattr("kapso_sync.people_views.MOST_SEARCHED", 2)
    url = reverse("lead-erase", args=[lead.pk])
    assert f"manage.py erase_person {lead.pk}" in staff.get(url).content.decode()
    staff.post(url, {"typed": "Ana"})
    assert Contact.objects.filter(pk=lead.pk).exists()


def command(name: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(name, *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_the_erase_command_lists_first_and_asks(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    lead = tell_of_ana(desk)
    told = command("erase_person", str(lead.pk), "--dry-run")
    assert "3 messages" in told
    assert "5 stored deliveries" in told
    monkeypatch.setattr("builtins.input", lambda _: "no")
    with pytest.raises(CommandError, match="Nothing was erased"):
        command("erase_person", str(lead.pk))
    assert Contact.objects.filter(pk=lead.pk).exists()
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    assert "5 stored deliveries" in command(
        "erase_person", "--workspace", "lima", "--phone", "+51 911 110 001"
    )
    assert places_of(ANA) == []


def test_a_merged_lead_stands_for_the_one_it_was_merged_into(desk: Desk) -> None:
    lead = tell_of_ana(desk)
    merged = Contact.objects.create(workspace=lead.workspace, name="Ana, once", merged_into=lead)
    command("erase_person", str(merged.pk), "--yes")
    assert not Contact.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Say who"),
        (["999999"], "There is no lead 999999"),
        (["--phone", ANA], "Say who"),
        (["--workspace", "nowhere", "--phone", ANA], "There are: lima, saopaulo"),
        (["--workspace", "lima", "--phone", "12"], "is no phone"),
    ],
)
def test_the_commands_say_what_is_missing(desk: Desk, arguments: list[str], said: str) -> None:
    for name in ("erase_person", "export_person"):
        with pytest.raises(CommandError, match=said):
            command(name, *arguments)


def test_the_export_command_writes_a_file_and_never_over_one(desk: Desk, tmp_path: Path) -> None:
    lead = tell_of_ana(desk)
    file = tmp_path / "ana.json"
    command("export_person", str(lead.pk), "--output", str(file))
    assert json.loads(file.read_text())["leads"][0]["phone"] == ANA
    assert json.loads(command("export_person", "--workspace", "lima", "--user-id", ANA_ID))["messages"]
    with pytest.raises(CommandError, match="Cannot write"):
        command("export_person", str(lead.pk), "--output", str(file))
    with pytest.raises(CommandError, match="Nobody here"):
        command("export_person", "--workspace", "lima", "--phone", BEA)


def test_the_delivery_page_says_when_its_body_was_cleared(desk: Desk, staff: Client) -> None:
    lead = tell_of_ana(desk)
    command("erase_person", str(lead.pk), "--yes")
    delivery = WebhookDelivery.objects.earliest("pk")
    page = staff.get(reverse("admin:kapso_sync_webhookdelivery_change", args=[delivery.pk])).content.decode()
    assert "The body was cleared" in page
    assert "after 0 days" in page
    assert "Replay this delivery" not in page
    replayed = staff.post(
        reverse("admin:kapso_sync_webhookdelivery_replay", args=[delivery.pk]), follow=True
    ).content.decode()
    assert "1 delivery cannot be replayed: the body was cleared." in replayed


def test_what_a_workflow_said_to_another_workspace_is_not_in_the_file(desk: Desk) -> None:
    lead = tell_of_ana(desk)
    handoff = {"kapso_conversation_id": "s1", "kind": "handoff", "at": moment(6)}
    AutomationEvent.objects.create(execution_id="ours", served_numbers=[LIMA], **handoff)
    AutomationEvent.objects.create(execution_id="theirs", served_numbers=[SAOPAULO], **handoff)
    assert [row["execution_id"] for row in exported(lead)["automation"]] == ["ours"]


def withheld(lead: Contact) -> list[str]:
    return [row["withheld"] for row in exported(lead)["deliveries"]]


@pytest.mark.parametrize(
    ("number", "reason"),
    [("inactive", OF_OTHERS), (SAOPAULO, ELSEWHERE), (UNKNOWN, ELSEWHERE)],
)
def test_a_body_with_somebody_at_another_number_is_withheld(desk: Desk, number: str, reason: str) -> None:
    numbers = type(desk.numbers[LIMA]).objects
    if number == "inactive":
        number = SAOPAULO
        numbers.filter(phone_number_id=SAOPAULO).update(
            workspace=desk.numbers[LIMA].workspace, is_active=False
        )
    desk.post(batch(message("m1", 1), message("m2", 2, phone=BEA, number=number)))
    assert withheld(desk.lead()) == [reason]


def test_a_body_that_was_not_understood_is_withheld(desk: Desk) -> None:
    desk.post(batch(message("m1", 1), message("m2", 2) | {"message": "Bea said something"}))
    assert withheld(desk.lead()) == [NOT_READ]


def test_a_receipt_of_somebody_elses_message_beside_theirs_is_withheld(desk: Desk) -> None:
    desk.told(message("m1", 1))
    desk.post(meta({"statuses": [status("read", 5, id="m1"), status("read", 5, id="of-bea")]}), "")
    assert withheld(desk.lead()) == ["", OF_OTHERS]


def test_a_longer_phone_is_no_match(desk: Desk) -> None:
    desk.told(message("m1", 1), message("m2", 2, phone=f"{ANA}23"))
    assert withheld(desk.lead()) == [""]


def test_what_a_workflow_said_with_another_workspaces_secret_is_not_in_the_file(desk: Desk) -> None:
    lead = tell_of_ana(desk)
    told = {"execution_id": "e1", "whatsapp_conversation_id": "s1"}
    for secret in ("lima-secret", "saopaulo-secret"):
        desk.post(told, "workflow.execution.handoff", secret=secret)
    assert withheld(lead) == [""] * 6


def test_too_many_deliveries_for_a_download_need_the_command(
    desk: Desk, staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = tell_of_ana(desk)
    monkeypatch.setattr("kapso_sync.people_views.MOST_SEARCHED", 2)
    page = staff.get(reverse("lead-export", args=[lead.pk]), follow=True).content.decode()
    assert f"manage.py export_person {lead.pk} --output lead-{lead.pk}.json" in page


def test_what_cleared_deliveries_say_counts_for_the_page_too(
    desk: Desk, staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = tell_of_ana(desk)
    WebhookDelivery.objects.update(body=b"", body_cleared_at=moment(9), error="Too late.")
    monkeypatch.setattr("kapso_sync.people_views.MOST_SEARCHED", 2)
    page = staff.get(reverse("lead-erase", args=[lead.pk])).content.decode()
    assert f"manage.py erase_person {lead.pk}" in page

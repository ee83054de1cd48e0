"""However often and by whatever route a message comes, it is one row: EDGE_CASES.md part 1, 36 to 56."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from contacts.models import Contact, Conversation, Message
from kapso_sync.models import WebhookDelivery
from kapso_sync.replaying import replay_in_batches
from tests.builders import (
    ANA,
    ANA_ID,
    BEA,
    BEA_ID,
    LIMA,
    RECEIVED,
    SAOPAULO,
    UNKNOWN,
    Desk,
    Json,
    batch,
    contact_updated,
    error,
    message,
    meta,
    moment,
    reaction,
    sent,
    session_event,
    status,
    system_line,
    user_id_update,
)
from tests.state import crm_state


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


def deliveries() -> list[tuple[str, int]]:
    return list(WebhookDelivery.objects.order_by("id").values_list("status", "duplicates"))


def test_the_same_key_and_body_is_one_delivery(desk: Desk) -> None:
    first = desk.post(message("a"), key="k")
    before = crm_state()
    again = desk.post(message("a"), key="k")
    assert (again.status, again.json) == (200, first.json)
    assert (deliveries(), crm_state()) == ([("processed", 1)], before)


def test_the_same_key_with_another_body_is_processed_too(desk: Desk) -> None:
    for wamid in "ab":
        desk.post(message(wamid), key="k")
    assert (deliveries(), Message.objects.count()) == ([("processed", 0)] * 2, 2)


def test_a_new_key_for_a_known_message_is_stored_and_changes_nothing(desk: Desk) -> None:
    desk.told(message("a"))
    before = crm_state()
    desk.told(message("a"))
    assert (deliveries(), crm_state()) == ([("processed", 0)] * 2, before)


@pytest.mark.parametrize("key", ["", "   ", "x" * 256])
def test_without_a_usable_key_the_body_is_the_key(desk: Desk, key: str) -> None:
    for _ in range(2):
        delivery = desk.post(message("a"), key=key).delivery
    assert (deliveries(), delivery.idempotency_key) == ([("processed", 1)], delivery.body_sha256)


def test_a_key_of_255_characters_is_a_key(desk: Desk) -> None:
    assert desk.post(message("a"), key="x" * 255).delivery.idempotency_key == "x" * 255


def test_the_same_key_on_two_numbers_is_two_deliveries(desk: Desk) -> None:
    for number in (LIMA, SAOPAULO):
        desk.post(message("a", number=number), key="k")
    assert (deliveries(), Message.objects.count()) == ([("processed", 0)] * 2, 2)


def test_the_same_wamid_on_two_numbers_is_two_messages(desk: Desk) -> None:
    desk.told(message("a", text="here"), message("a", text="there", number=SAOPAULO))
    assert set(Message.objects.values_list("content", flat=True)) == {"here", "there"}


def test_sent_and_failed_of_one_wamid_are_both_applied(desk: Desk) -> None:
    desk.told(sent("a"))
    desk.became("a", "failed", 5, error())
    assert (desk.row("a").status, Message.objects.count()) == ("failed", 1)


def test_a_retry_after_our_503_is_processed_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any) -> None:
        raise OperationalError

    monkeypatch.setattr("kapso_sync.models.WebhookDelivery.store", down)
    assert desk.post(message("a"), key="k").status == 503
    monkeypatch.undo()
    for _ in range(2):
        assert desk.post(message("a"), key="k").json["status"] == "processed"
    assert (deliveries(), Message.objects.count()) == ([("processed", 1)], 1)


def test_a_copy_of_a_failed_delivery_is_its_next_try(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("contacts.sync.refresh", fail)
    assert desk.post(message("a"), key="k").json["status"] == "failed"
    assert desk.post(message("a"), key="k").json["status"] == "failed"
    monkeypatch.undo()
    assert desk.post(message("a"), key="k").json["status"] == "processed"
    delivery = WebhookDelivery.objects.get()
    assert (delivery.status, delivery.error, delivery.attempts, delivery.duplicates) == (
        "processed",
        "",
        3,
        2,
    )


@pytest.mark.parametrize(
    ("first", "then", "applied"),
    [
        ("lima-secret", "saopaulo-secret", ["a", "b"]),
        ("lima-secret", "project-secret", ["a", "b"]),
        ("project-secret", "lima-secret", ["a", "b"]),
        ("lima-secret", "lima-secret", ["a"]),
    ],
)
def test_a_copy_under_another_secret_speaks_for_the_numbers_of_both(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, first: str, then: str, applied: list[str]
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError

    body = batch(message("a"), message("b", 1, number=SAOPAULO))
    monkeypatch.setattr("contacts.sync.refresh", fail)
    assert desk.post(body, key="k", secret=first).json["status"] == "failed"
    monkeypatch.undo()
    assert desk.post(body, key="k", secret=then).json["status"] == "processed"
    assert sorted(Message.objects.values_list("kapso_message_id", flat=True)) == applied
    before = crm_state()
    replay_in_batches(WebhookDelivery.objects.all())
    assert crm_state() == before, "a replay knows the same"


def test_a_copy_of_what_is_done_changes_nothing_of_whom_it_speaks_for(desk: Desk) -> None:
    body = batch(message("a"), message("b", 1, number=SAOPAULO))
    for secret in ("lima-secret", "saopaulo-secret"):
        delivery = desk.post(body, key="k", secret=secret).delivery
    assert delivery.served_numbers == [LIMA]
    assert [message.kapso_message_id for message in Message.objects.all()] == ["a"]


@pytest.mark.parametrize("outcome", ["ignored", "unroutable"])
def test_a_copy_of_what_had_no_effect_has_none_either(desk: Desk, outcome: str) -> None:
    body = {"phone_number_id": LIMA} if outcome == "ignored" else message("a", number=UNKNOWN)
    for _ in range(3):
        assert desk.post(body, "" if outcome == "ignored" else RECEIVED, key="k").json["status"] == outcome
    assert deliveries() == [(outcome, 2)]


def test_a_batch_and_its_items_sent_again_alone_are_the_same(desk: Desk) -> None:
    items = [message(f"m{index}", index) for index in range(5)]
    desk.told(batch(*items))
    before = crm_state()
    desk.told(*items)
    assert crm_state() == before


META_MESSAGE = {"id": "a", "from": ANA, "timestamp": "1781000000", "type": "text", "text": {"body": "Hola"}}
META_TWIN = meta({"contacts": [{"wa_id": ANA, "profile": {"name": "Ana"}}], "messages": [META_MESSAGE]})


@pytest.mark.parametrize("meta_first", [False, True])
def test_kapso_and_meta_telling_one_message_are_one_row(desk: Desk, meta_first: bool) -> None:
    told = [message("a", name="Ana"), META_TWIN]
    desk.told(*(told[::-1] if meta_first else told))
    assert (Message.objects.count(), desk.lead().kapso_name, desk.row("a").content) == (1, "Ana", "Hola")


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("poor", "rich"),
    [
        (message("a", 0, type="unsupported", text=None), message("a", 0)),
        (message("a", 0, type="media_placeholder", text=None), message("a", 0)),
        (message("a", 9, text="import", origin="history_sync"), message("a", 0)),
        (message("a", 9, text="api"), message("a", 0, origin="business_app")),
        (message("a", 0, text="older"), message("a", 9)),
        (message("a", "", text="untimed"), message("a", 0)),
    ],
    ids=["unsupported", "placeholder", "history", "api", "older", "untimed"],
)
def test_of_two_tellings_the_better_is_believed(desk: Desk, poor: Json, rich: Json, swapped: bool) -> None:
    desk.told(*((rich, poor) if swapped else (poor, rich)))
    assert (desk.row("a").content, Message.objects.count()) == ("Hola", 1)


@pytest.mark.parametrize("swapped", [False, True])
def test_what_only_one_telling_knows_is_kept(desk: Desk, swapped: bool) -> None:
    poor = message("a", 9)
    rich = message("a", 0, user_id=ANA_ID, context={"id": "q"}, referral={"source_id": "7"}, name="Ana")
    rich["message"]["kapso"] |= {"media_url": "https://app.kapso.ai/1", "transcript": {"text": "spoken"}}
    desk.told(*((rich, poor) if swapped else (poor, rich)))
    row = desk.row("a")
    assert (row.reply_to_kapso_id, row.media_url, row.transcript) == ("q", "https://app.kapso.ai/1", "spoken")
    assert (row.referral, row.user_id, row.sent_at) == ({"source_id": "7"}, ANA_ID, moment(0))
    assert desk.lead().business_scoped_user_id == ANA_ID


@pytest.mark.parametrize("swapped", [False, True])
def test_a_caption_is_not_lost_to_a_telling_without_it(desk: Desk, swapped: bool) -> None:
    bare = message("a", 9, text=None, type="image", image={"id": "m1"})
    full = message("a", 0, text=None, type="image", image={"id": "m1", "caption": "Mira"})
    desk.told(*((full, bare) if swapped else (bare, full)))
    assert desk.row("a").content == "Mira"


@pytest.mark.parametrize("newer", ["inbound", "outbound"])
def test_a_message_told_in_both_directions_is_ours_in_any_order(desk: Desk, newer: str) -> None:
    results = []
    for phone, order in ((ANA, (0, 1)), (BEA, (1, 0))):
        wamid, at = f"m-{phone}", {"inbound": 0, "outbound": 0} | {newer: 5}
        told = message(wamid, at["inbound"], phone=phone), sent(wamid, at["outbound"], phone=phone)
        desk.told(*(told[index] for index in order))
        row, lead = desk.row(wamid), desk.lead(phone)
        results.append((row.direction, row.status, row.sent_at, lead.last_contact_at, lead.last_inbound_at))
    at_sent = moment(at["outbound"])
    assert results == [("outbound", "sent", at_sent, at_sent, None)] * 2


@pytest.mark.parametrize("swapped", [False, True])
def test_an_edit_of_itself_is_shown_as_it_was_told_best(desk: Desk, swapped: bool) -> None:
    def edit(at: int, text: str) -> Json:
        told = {"original_message_id": "e", "message": {"type": "text", "text": {"body": text}}}
        return message("e", at, type="edit", edit=told)

    told = [edit(0, "older"), edit(5, "newer")]
    desk.told(*(told[::-1] if swapped else told))
    assert desk.row("e").content == "newer"


# Batches


def test_a_batch_of_one(desk: Desk) -> None:
    desk.told(batch(message("a")))
    assert Message.objects.count() == 1


def test_a_batch_of_a_hundred(desk: Desk) -> None:
    desk.told(batch(*(message(f"m{index}", index) for index in range(100))))
    assert (Message.objects.count(), Conversation.objects.count(), len(deliveries())) == (100, 1, 1)
    assert desk.lead().last_inbound_at == moment(99)


@pytest.mark.parametrize("data", [[], None, "x", 7, {}, True])
@pytest.mark.parametrize("flag", [True, False])
def test_a_batch_of_nothing_is_ignored(desk: Desk, data: Any, flag: bool) -> None:
    answer = desk.post({"batch": flag, "type": RECEIVED, "data": data}, X_Webhook_Batch="true")
    assert (answer.status, answer.json["status"]) == (200, "ignored")


def test_a_single_body_under_a_batchs_header_is_single(desk: Desk) -> None:
    assert desk.post(message("a"), X_Webhook_Batch="true", X_Batch_Size="7").json["status"] == "processed"
    assert desk.row("a").contact == desk.only_lead


@pytest.mark.parametrize(
    "changes", [{"batch": False}, {"type": None}, {"batch_info": None}, {"batch": "true"}]
)
def test_a_list_of_messages_is_a_batch_whatever_it_says(desk: Desk, changes: Json) -> None:
    assert desk.post(batch(message("a"), message("b"), **changes)).json["status"] == "processed"
    assert Message.objects.count() == 2


def test_items_go_where_they_say(desk: Desk) -> None:
    desk.told(batch(message("a"), message("b", phone=BEA), message("c", number=SAOPAULO)))
    assert Conversation.objects.count() == 3
    assert desk.row("c").workspace.slug == "saopaulo"


def test_a_batch_for_two_workspaces_is_shown_to_neither(desk: Desk) -> None:
    answer = desk.post(batch(message("a"), message("c", number=SAOPAULO)))
    assert (answer.delivery.status, answer.delivery.workspace) == ("processed", None)


@pytest.mark.parametrize(
    "bad",
    [None, 7, "x", [], {}, {"message": None}, {"message": []}, {"message": {"id": None}}, [message("x")]],
)
def test_a_bad_item_leaves_the_others_alone(desk: Desk, bad: Any) -> None:
    answer = desk.post(batch(message("a"), bad, message("b")))
    assert (answer.status, answer.json["status"]) in {(200, "processed"), (200, "unroutable")}
    assert set(Message.objects.values_list("kapso_message_id", flat=True)) == {"a", "b"}
    assert answer.delivery.error


def test_an_item_for_an_unknown_number_leaves_the_others_alone(desk: Desk) -> None:
    answer = desk.post(batch(message("a"), message("b", number=UNKNOWN)))
    assert (answer.json["status"], Message.objects.count()) == ("unroutable", 1)


def test_a_message_twice_in_one_batch_is_one_row(desk: Desk) -> None:
    desk.told(batch(message("a"), message("b"), message("a"), message("a", 5, text="newer")))
    assert (Message.objects.count(), desk.row("a").content) == (2, "newer")


def test_items_out_of_order_are_sorted_by_when_they_were_sent(desk: Desk) -> None:
    desk.told(batch(*(message(f"m{at}", at) for at in (5, 1, 9, 3))))
    assert [row.kapso_message_id for row in Message.objects.in_order()] == ["m1", "m3", "m5", "m9"]


def test_a_batch_that_ends_with_a_reaction(desk: Desk) -> None:
    desk.told(batch(message("a", 5), reaction("r", 9, "a", "👍")))
    assert (desk.lead().last_activity_at, desk.lead().last_inbound_at) == (moment(9), moment(5))


def test_a_batch_names_its_numbers_in_its_items(desk: Desk) -> None:
    delivery = desk.post(batch(message("a"))).delivery
    assert (delivery.phone_number_id, delivery.workspace) == (LIMA, desk.numbers[LIMA].workspace)


def test_a_batch_may_name_its_number_once(desk: Desk) -> None:
    item = message("a", number=None)
    desk.told(batch(item, phone_number_id=LIMA))
    assert desk.row("a").contact == desk.only_lead


# Replay


def test_replaying_everything_shuffled_and_twice_is_as_once_in_order(desk: Desk) -> None:
    for body in HISTORY:
        desk.post(body, "" if "object" in body or "type" in body else RECEIVED)
    before = crm_state()
    keys = list(WebhookDelivery.objects.values_list("pk", flat=True))
    shuffle = random.Random(7)  # noqa: S311
    for _ in range(3):
        shuffle.shuffle(keys)
        for pk in keys:
            replay_in_batches(WebhookDelivery.objects.filter(pk=pk))
        assert crm_state() == before
    assert Contact.objects.living().count() == 3


def test_arriving_in_any_order_with_copies_ends_in_the_same_crm(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each body has its own time of receipt, whatever its place; all orders begin with empty tables."""
    in_order = list(enumerate(HISTORY))

    def state_after(bodies: list[tuple[int, Json]]) -> Any:
        state = None
        with contextlib.suppress(_UndoError), transaction.atomic():
            for index, body in bodies:
                at = moment(1000 + index)
                monkeypatch.setattr("kapso_sync.views.timezone.now", lambda at=at: at)
                event = "" if "object" in body or "type" in body else body.get("event", RECEIVED)
                assert desk.post(body, event).status == 200
            connection.check_constraints()
            state = crm_state()
            raise _UndoError
        return state

    expected = state_after(in_order)
    for seed in range(10):
        shuffled = in_order + in_order[seed % 7 :: 4]
        random.Random(seed).shuffle(shuffled)  # noqa: S311
        assert state_after(shuffled) == expected, f"seed {seed}"


class _UndoError(Exception):
    pass


HISTORY: list[Json] = [
    message("a", 0, name="Ana"),
    sent("b", 5, statuses=[status("sent", 5), status("delivered", 8)]),
    message("c", 10, phone=None, user_id=ANA_ID, name="Anita"),
    message("d", 20, user_id=ANA_ID, username="ana"),
    meta({"statuses": [status("failed", 30, error(), id="b", recipient_id=ANA)]}),
    reaction("e", 40, "b", "👍"),
    batch(message("f", 50, phone=BEA, name="Bea"), message("g", 45, phone=BEA), message("a", 0)),
    META_TWIN,
    message(
        "h",
        60,
        type="edit",
        edit={"original_message_id": "g", "message": {"type": "text", "text": {"body": "!"}}},
        phone=BEA,
    ),
    sent("i", 70, phone=BEA, origin="business_app"),
    contact_updated(ANA, "Ana Torres"),
    session_event(f"session-{BEA}-{LIMA}", 80, phone=BEA, status="ended"),
    message("j", 55, phone=BEA, user_id=BEA_ID),
    user_id_update(65, ANA_ID, "PE.3000000000000001"),
    message("k", 75, phone=ANA, user_id="PE.3000000000000001"),
    message("l", 77, phone=ANA, user_id="PE.4000000000000001", name="Carla"),
    system_line("m", 90, BEA, type="user_changed_number", wa_id="51933330001", user_id="PE.5000000000000001"),
    message("n", 95, phone="51933330001"),
    message("o", None, phone=BEA, text="untimed"),
    message("p", 99, phone=None, session=f"session-{BEA}-{LIMA}"),
    message("q", 98, type="revoke", revoke={"original_message_id": "c"}, phone=None, user_id=ANA_ID),
    {
        "event": "workflow.execution.handoff",
        "workflow_execution_id": "x",
        "whatsapp_conversation_id": f"session-{BEA}-{LIMA}",
        "occurred_at": moment(85).isoformat(),
    },
    meta(
        {"user_preferences": [{"wa_id": BEA, "value": "stop", "timestamp": "1781000088"}]},
        field="user_preferences",
    ),
]

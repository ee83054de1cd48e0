"""Outbound messages and what became of them: CONTRACT.md 11, EDGE_CASES.md part 1, 112 to 133."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from contacts.models import Contact, Conversation, Message, MessageReceipt
from tests.builders import (
    ANA,
    LIMA,
    SAOPAULO,
    Desk,
    Json,
    batch,
    error,
    message,
    meta,
    meta_status,
    moment,
    reaction,
    sent,
    status,
)

ERROR = error(131047, "More than 24 hours")


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


def fate(wamid: str = "out") -> dict[str, Any]:
    """Everything that statuses say of a message."""
    row = Message.objects.get(kapso_message_id=wamid)
    names = ("status", "sent_at", "delivered_at", "read_at", "failed_at", "error_code", "error_message")
    return {name: getattr(row, name) for name in names}


TIMES = {"sent": 0, "failed": 5, "delivered": 10, "read": 20}


def tell(desk: Desk, word: str, how: str) -> None:
    """One status, as Kapso tells it or as Meta does; how it is told must not matter."""
    errors = [ERROR] if word == "failed" else []
    if how == "meta" and word != "sent":
        desk.post(meta_status("out", word, TIMES[word], *errors), "")
    else:
        desk.became("out", word, TIMES[word], *errors)


@pytest.mark.parametrize("how", ["kapso", "meta"])
@pytest.mark.parametrize("order", list(permutations(TIMES)), ids="-".join)
def test_any_order_of_the_four_statuses_has_one_result(desk: Desk, order: tuple[str, ...], how: str) -> None:
    for word in order:
        tell(desk, word, how)
    assert fate() == {
        "status": "read",
        "sent_at": moment(0),
        "delivered_at": moment(10),
        "read_at": moment(20),
        "failed_at": moment(5),
        "error_code": 131047,
        "error_message": "More than 24 hours",
    }
    assert desk.lead().last_contact_at == desk.lead().last_activity_at == moment(0)


@pytest.mark.parametrize(
    ("words", "ends_as"),
    [
        ({"sent"}, "sent"),
        ({"failed"}, "failed"),
        ({"delivered"}, "delivered"),
        ({"read"}, "read"),
        ({"sent", "failed"}, "failed"),
        ({"sent", "delivered"}, "delivered"),
        ({"sent", "read"}, "read"),
        ({"failed", "delivered"}, "delivered"),
        ({"failed", "read"}, "read"),
        ({"delivered", "read"}, "read"),
        ({"sent", "failed", "delivered"}, "delivered"),
        ({"sent", "failed", "read"}, "read"),
        ({"sent", "delivered", "read"}, "read"),
        ({"failed", "delivered", "read"}, "read"),
    ],
)
def test_the_highest_rank_ever_seen_wins(desk: Desk, words: set[str], ends_as: str) -> None:
    results = []
    for index, order in enumerate(permutations(sorted(words))):
        for word in order:
            errors = [ERROR] if word == "failed" else []
            desk.became(f"out-{index}", word, TIMES[word], *errors)
        results.append(fate(f"out-{index}"))
    assert results == [results[0]] * len(results)
    assert results[0]["status"] == ends_as
    told = {word for word in ("failed", "delivered", "read") if results[0][f"{word}_at"]}
    assert told == words - {"sent"}


def test_all_four_in_one_batch_have_the_same_result(desk: Desk) -> None:
    """A batch of tellings that each carry the history so far."""
    history = [status("sent", 0), status("failed", 5, ERROR), status("delivered", 10), status("read", 20)]
    for order in permutations(range(4)):
        wamid = f"out-{order}"
        items = [sent(wamid, 0, statuses=history[: index + 1]) for index in order]
        desk.told(batch(*items, type="whatsapp.message.sent") | {"event": "whatsapp.message.sent"})
    results = [fate(f"out-{order}") for order in permutations(range(4))]
    assert results == [results[0]] * 24
    assert (results[0]["status"], results[0]["error_code"]) == ("read", 131047)


def test_a_status_again_rewrites_no_time(desk: Desk) -> None:
    for at in (10, 30, 5, 10):
        desk.became("out", "delivered", at)
    assert fate()["delivered_at"] == moment(5)


def test_read_alone_invents_no_time_of_delivery(desk: Desk) -> None:
    desk.became("out", "read", 20)
    assert (fate()["status"], fate()["delivered_at"], fate()["read_at"]) == ("read", None, moment(20))


def test_played_counts_as_read(desk: Desk) -> None:
    desk.post(meta_status("out", "played", 20), "")
    desk.told(sent("out", 0))
    assert (fate()["status"], fate()["read_at"]) == ("read", moment(20))


@pytest.mark.parametrize("word", ["deleted", "warning", "x" * 200])
def test_an_unknown_word_changes_no_rank(desk: Desk, word: str) -> None:
    desk.told(sent("out", 0))
    desk.post(meta_status("out", word, 20), "")
    assert fate()["status"] == "sent"


def test_accepted_is_pending(desk: Desk) -> None:
    desk.told(message("in", 0))
    thread = Conversation.objects.get()
    Message.objects.create(
        workspace=thread.workspace,
        conversation=thread,
        contact=thread.contact,
        kapso_message_id="out",
        direction="outbound",
        status="pending",
        sent_at=moment(0),
    )
    desk.post(meta_status("out", "accepted", 21), "")
    assert fate()["status"] == "pending"


def test_playing_after_reading_keeps_the_time_of_reading(desk: Desk) -> None:
    desk.became("out", "read", 20)
    desk.post(meta_status("out", "played", 40), "")
    receipt = MessageReceipt.objects.get(kapso_message_id="out")
    assert (fate()["read_at"], receipt.played_at) == (moment(20), moment(40))


def test_an_unknown_word_is_recorded(desk: Desk) -> None:
    desk.told(sent("out", 0))
    desk.post(meta_status("out", "deleted", 20), "")
    words = MessageReceipt.objects.get(kapso_message_id="out").other_words
    assert [key.split("|")[0] for key in words] == ["deleted"]


def test_the_history_fills_what_no_event_told(desk: Desk) -> None:
    desk.became("out", "read", 20, statuses=[status("sent", 0), status("delivered", 10), status("read", 20)])
    told = fate()
    assert (told["sent_at"], told["delivered_at"], told["read_at"]) == (moment(0), moment(10), moment(20))


def test_a_receipt_of_an_unknown_message_makes_none(desk: Desk) -> None:
    answer = desk.post(meta_status("out", "delivered", 10), "")
    assert answer.json["status"] == "processed"
    assert (Message.objects.count(), Contact.objects.count()) == (0, 0)


def test_a_receipt_that_waited_counts_when_its_message_comes(desk: Desk) -> None:
    desk.post(meta_status("out", "failed", 10, ERROR), "")
    desk.told(sent("out", 0))
    assert (fate()["status"], fate()["failed_at"], fate()["error_code"]) == ("failed", moment(10), 131047)
    assert desk.lead().last_contact_at is None


@pytest.mark.parametrize("word", ["delivered", "read", "failed"])
def test_a_status_of_an_inbound_message_does_nothing(desk: Desk, word: str) -> None:
    desk.told(message("in", 0))
    before = fate("in")
    desk.post(meta_status("in", word, 10, *([ERROR] if word == "failed" else [])), "")
    assert fate("in") == before | {"status": "received"}


def test_an_early_status_of_an_inbound_message_does_nothing(desk: Desk) -> None:
    desk.post(meta_status("in", "failed", 10, ERROR), "")
    desk.told(message("in", 0))
    told = fate("in")
    assert (told["status"], told["sent_at"], told["failed_at"]) == ("received", moment(0), None)
    assert (told["error_code"], told["error_message"]) == (None, "")


def test_a_status_counts_for_the_number_that_tells_it(desk: Desk) -> None:
    desk.told(sent("out", 0), sent("out", 0, number=SAOPAULO))
    desk.post(meta_status("out", "read", 10), "")
    statuses = dict(Message.objects.values_list("phone_number__phone_number_id", "status"))
    assert statuses == {LIMA: "read", SAOPAULO: "sent"}


# Errors


@pytest.mark.parametrize(
    ("errors", "code", "text"),
    [
        ([error(131026, "Not on WhatsApp")], 131026, "Not on WhatsApp"),
        ([error(1, "first"), error(2, "second")], 1, "first"),
        ([error("131049", "text")], 131049, "text"),
        ([error("much", "text")], None, "text"),
        ([error(999999, "new code")], 999999, "new code"),
        ([{"code": 131000, "message": "Something went wrong"}], 131000, "Something went wrong"),
        ([{"code": 131000, "title": "Title"}], 131000, "Title"),
        ([{"code": 131000}], 131000, "131000"),
        ([{}], None, "Delivery failed"),
        (["broken"], None, "broken"),
        ([], None, "Delivery failed"),
        (None, None, "Delivery failed"),
        ("broken", None, "Delivery failed"),
        ([{"code": 10**20, "title": "Huge"}], None, "Huge"),
        ([{"code": 131000, "title": "a\x00b"}], 131000, "a\N{REPLACEMENT CHARACTER}b"),
    ],
)
def test_an_error_of_any_shape_is_stored(desk: Desk, errors: Any, code: int | None, text: str) -> None:
    entry = status("failed", 5) | ({} if errors is None else {"errors": errors})
    desk.became("out", "failed", 5, statuses=[entry])
    assert (fate()["status"], fate()["error_code"], fate()["error_message"]) == ("failed", code, text)


def test_the_error_is_found_in_any_entry(desk: Desk) -> None:
    desk.became("out", "failed", 5, statuses=[status("failed", 5, ERROR), status("sent", 0)])
    assert fate()["error_code"] == 131047


def test_the_error_is_found_beside_the_message(desk: Desk) -> None:
    body = sent("out", 5, errors=[error(131053, "Media")])
    desk.post(body, "whatsapp.message.failed")
    assert (fate()["error_code"], fate()["error_message"]) == (131053, "Media")


def test_a_failure_without_a_reason_gets_one_later(desk: Desk) -> None:
    desk.became("out", "failed", 5)
    desk.post(meta_status("out", "failed", 5, ERROR), "")
    assert fate()["error_code"] == 131047


def test_every_error_is_kept(desk: Desk) -> None:
    desk.post(meta_status("out", "failed", 5, error(1, "first")), "")
    desk.post(meta_status("out", "failed", 6, error(2, "second")), "")
    desk.told(sent("out", 0))
    errors = MessageReceipt.objects.get(kapso_message_id="out").errors
    assert [one["code"] for _, one in sorted(errors.items())] == [1, 2]
    assert fate()["error_code"] == 1


def test_pricing_changes_nothing(desk: Desk) -> None:
    desk.became(
        "out", "read", 20, statuses=[status("read", 20, pricing={"billable": True}, conversation={"id": "x"})]
    )
    assert fate()["status"] == "read"
    assert Conversation.objects.get().kapso_conversation_id != "x"


# Who an outbound message is for


def test_a_message_sent_elsewhere_makes_its_lead(desk: Desk) -> None:
    desk.told(sent("out", 5))
    row = desk.row("out")
    assert (row.contact, row.direction, row.status) == (desk.lead(), "outbound", "sent")
    assert desk.lead().lead_status == "new"


def test_a_message_sent_elsewhere_to_a_known_lead_joins_its_thread(desk: Desk) -> None:
    desk.told(message("in", 0), sent("out", 5))
    assert list(
        Conversation.objects.get().messages.in_order().values_list("kapso_message_id", flat=True)
    ) == [
        "in",
        "out",
    ]


def test_sent_for_a_message_of_ours_adds_no_row(desk: Desk) -> None:
    desk.told(message("in", 0))
    thread = Conversation.objects.get()
    Message.objects.create(
        workspace=thread.workspace,
        conversation=thread,
        contact=thread.contact,
        kapso_message_id="out",
        content="Hola",
        direction="outbound",
        status="pending",
        sent_at=moment(5),
    )
    desk.told(sent("out", 6))
    assert (Message.objects.count(), fate()["status"]) == (2, "sent")


@pytest.mark.parametrize("word", ["failed", "delivered", "read"])
def test_any_event_that_carries_the_message_makes_its_row(desk: Desk, word: str) -> None:
    desk.became("out", word, 5)
    assert (desk.row("out").content, desk.row("out").contact) == ("Hola", desk.lead())


@pytest.mark.parametrize(
    ("tellings", "origin"),
    [
        (["cloud_api"], "cloud_api"),
        (["business_app"], "business_app"),
        (["history_sync"], "history_sync"),
        (["", "history_sync"], "cloud_api"),
        (["history_sync", "cloud_api"], "cloud_api"),
        (["business_app", "cloud_api"], "business_app"),
        (["cloud_api", "business_app"], "business_app"),
        (["something_new"], "cloud_api"),
    ],
)
def test_the_origin_is_the_best_that_was_told(desk: Desk, tellings: list[str], origin: str) -> None:
    desk.told(*(sent("out", 5, origin=told) for told in tellings))
    assert desk.row("out").origin == origin


def test_an_echo_from_the_phone_answers(desk: Desk) -> None:
    echo = {"id": "echo", "from": "5115550142", "to": ANA, "timestamp": "1781000009", "type": "text"}
    desk.told(
        message("in", 0),
        meta({"message_echoes": [echo | {"text": {"body": "Ya"}}]}, field="smb_message_echoes"),
    )
    row = desk.row("echo")
    assert (row.contact, row.direction, row.origin) == (desk.lead(), "outbound", "business_app")
    assert desk.lead().last_contact_at == moment(9)


def test_one_failed_part_of_an_answer_leaves_the_others_alone(desk: Desk) -> None:
    desk.told(sent("one", 1), sent("two", 2), sent("three", 3))
    desk.became("two", "failed", 5, ERROR)
    assert [fate(wamid)["status"] for wamid in ("one", "two", "three")] == ["sent", "failed", "sent"]
    assert desk.lead().last_contact_at == moment(3)


def test_a_lead_that_never_wrote_has_no_window(desk: Desk) -> None:
    desk.told(sent("out", 5))
    assert (desk.lead().last_inbound_at, Conversation.objects.get().last_inbound_at) == (None, None)


def test_an_outbound_reaction_is_no_contact(desk: Desk) -> None:
    desk.told(message("in", 0), reaction("ours", 5, "in", "👍", direction="outbound"))
    row = desk.row("ours")
    assert (row.message_type, row.target_kapso_id, row.direction) == ("reaction", "in", "outbound")
    assert desk.lead().last_contact_at is None


def test_a_status_event_does_not_blank_what_is_known(desk: Desk) -> None:
    desk.told(message("in", 0, name="Ana"), sent("out", 5, text="Su pedido", context={"id": "in"}))
    body: Json = sent("out", 10, text="Su pedido")
    del body["message"]["text"], body["message"]["to"], body["message"]["kapso"]["origin"]
    desk.post(body, "whatsapp.message.delivered")
    row = desk.row("out")
    assert (row.content, row.contact, row.reply_to_kapso_id) == ("Su pedido", desk.lead(), "in")
    assert desk.lead().kapso_name == "Ana"

"""`manage.py verify_crm` and `rebuild_crm`: they see what is wrong, put it right, and keep what people made."""

from __future__ import annotations

import io
from threading import Event, Thread
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

import contacts.sync
from contacts import merging, swapping
from contacts.models import (
    Contact,
    Conversation,
    Identity,
    KapsoSession,
    Message,
    MessageReceipt,
    PhoneNumber,
    ProfileFact,
)
from contacts.refresh import refresh
from contacts.writing import Written
from kapso_sync.management.commands import rebuild_crm
from kapso_sync.models import WebhookDelivery, WebhookDeliveryQuerySet
from kapso_sync.rebuilding import Outdated, Rebuild, rebuilding
from kapso_sync.sync import replay
from tests.builders import ANA, ANA_ID, BEA, LIMA, SAOPAULO, Desk, batch, message, moment, sent
from tests.conftest import Cast
from tests.kapso import Kapso
from tests.state import crm_state
from tests.test_corpus import CORPUS
from tests.test_demo import run as run_demo
from tests.test_rehearsal import dry_run, hashes

CLE = "51911110003"


def run(command: str, *arguments: str) -> str:
    out = io.StringIO()
    try:
        call_command(command, *arguments, stdout=out, stderr=out)
    except CommandError as error:
        out.write(f"FAILED {error}\n")
    return out.getvalue()


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    return Desk.open()


def test_nothing_differs_where_nothing_is_wrong(cast: Cast, kapso: Kapso) -> None:
    for name in CORPUS:
        kapso.post_file(name)
    said = run("verify_crm")
    assert "Lima: no difference.\n" in said, said
    assert "Saopaulo: no difference.\n" in said, said
    assert dry_run("--all").startswith("Nothing would change.\n")


def edit_as_people_do(user: User) -> dict[int, tuple[Any, ...]]:
    """Names, status, owner, tags, e-mail and score of some leads; returns what is to be kept of every lead."""
    some = list(Contact.objects.living().order_by("pk")[:5])
    for index, lead in enumerate(some):
        Contact.objects.filter(pk=lead.pk).update(
            name=f"Typed {index}", email=f"{index}@example.com", owner=user, tags=["vip"], lead_score=index
        )
        if lead.lead_status == "new":
            lead.change_status("qualified", by=user)
    return typed()


def typed() -> dict[int, tuple[Any, ...]]:
    names = ("name", "email", "owner_id", "tags", "lead_score", "lead_status", "merged_into_id", "created_at")
    return {row[0]: row[1:] for row in Contact.objects.order_by("pk").values_list("pk", *names)}


def ids() -> list[set[int]]:
    return [set(model.objects.values_list("pk", flat=True)) for model in (Contact, Message, Conversation)]


def test_the_demo_is_rebuilt_and_edits_are_kept(transactional_db: None, live_server: Any) -> None:
    user = User.objects.create_superuser("admin")
    run_demo("demo", live_server.url)
    kept = edit_as_people_do(user)
    assert run("verify_crm") == "Demo Store: no difference.\n"
    state = crm_state()
    before = ids()

    leads = list(Contact.objects.living().order_by("pk"))
    wrong_clock, robbed, robber, rewritten, haunted, nameless = leads[5:11]
    Contact.objects.filter(pk=wrong_clock.pk).update(last_activity_at=moment(0), last_inbound_at=None)
    lost = robbed.messages.in_order()[0]
    lost_id = lost.pk
    lost.delete()
    stolen = robbed.messages.in_order()[1]
    thread = robber.conversations.get()
    Message.objects.filter(pk=stolen.pk).update(contact=robber, conversation=thread)
    Message.objects.filter(pk=rewritten.messages.filter(message_type="text")[0].pk).update(
        content="Never said"
    )
    Identity.objects.create(workspace=haunted.workspace, kind="phone", value="4915100000000", contact=haunted)
    Contact.objects.filter(pk=nameless.pk).update(kapso_name="Somebody else")

    said = run("verify_crm")
    assert f"(lead {wrong_clock.pk}):\n" in said
    assert "last activity 2026-06-09 10:13:20 UTC becomes" in said
    assert "last message from the customer (empty) becomes" in said
    assert f"(lead {robbed.pk}):\n  1 message more" in said
    assert f"belongs to {robbed.shown_name} (lead {robbed.pk})" in said
    assert 'content "Never said" becomes' in said
    assert "no stored delivery tells +49 1510 0000000" in said
    assert 'WhatsApp name "Somebody else" becomes' in said
    assert "FAILED 6 leads differ: manage.py rebuild_crm repairs it." in said

    assert "FAILED" not in run("rebuild_crm")
    assert run("verify_crm") == "Demo Store: no difference.\n"
    assert crm_state() == state
    assert typed() == kept
    after = ids()
    assert after[0] == before[0]
    assert after[2] == before[2]
    assert before[1] - after[1] == {lost_id}


NO_DIFFERENCE = "Lima: no difference.\nSaopaulo: no difference.\n"


def deliveries_of(*wamids: str) -> WebhookDeliveryQuerySet:
    chosen = [d.pk for d in WebhookDelivery.objects.all() if any(w.encode() in d.raw_body for w in wamids)]
    return WebhookDelivery.objects.filter(pk__in=chosen)


def rebuild_of(desk: Desk) -> Rebuild:
    return Rebuild(desk.numbers[LIMA].workspace)


def test_what_people_made_is_kept(desk: Desk) -> None:
    """A lead typed in, one merged by hand, a phone typed later, a thread and a message of an import."""
    lima = desk.numbers[LIMA]
    typed_in = Contact.objects.create(
        workspace=lima.workspace, phone=BEA, name="Bea", email="bea@example.com"
    )
    Contact.objects.create(workspace=lima.workspace, name="Only a name")
    desk.told(
        message("wamid.1", 0, name="Ana"), message("wamid.2", 9, phone=BEA), message("wamid.3", 7, phone=CLE)
    )
    imported = Conversation.objects.get(contact=desk.lead(ANA))
    Message.objects.create(
        workspace=lima.workspace, contact=imported.contact, conversation=imported, kapso_message_id="import.1",
        direction="outbound", content="Before leadcrm", sent_at=moment(-99),
    )  # fmt: skip
    Contact.objects.filter(phone=CLE).update(phone="51911110009")
    merging.merge(desk.lead(ANA), typed_in, by=None)
    refresh(Written(contacts=set(Contact.objects.values_list("pk", flat=True))), set())
    state, kept = crm_state(), typed()

    assert run("verify_crm", "--workspace", "lima").startswith("Lima: 1 message, ")
    Message.objects.filter(kapso_message_id="wamid.2").delete()
    assert "1 lead put right" in run("rebuild_crm")
    assert crm_state() == state
    assert typed() == kept
    assert Contact.objects.get(pk=typed_in.pk).email == "bea@example.com"


def test_a_message_that_nothing_tells_is_kept_and_marked(desk: Desk) -> None:
    desk.told(message("wamid.1", 0), message("wamid.2", 5, phone=BEA, name="Bea"), message("wamid.3", 9))
    deliveries_of("wamid.2", "wamid.3").delete()
    state = crm_state()
    assert 'no stored delivery tells this message: inbound "Hola"' in run("verify_crm")
    said = run("rebuild_crm")
    assert "2 messages that no stored delivery tells are kept" in said
    assert "FAILED" not in said
    assert "Lima: no difference." in run("verify_crm")
    assert Message.objects.filter(is_sealed=True).count() == 2
    for model in (Message, KapsoSession):
        model._default_manager.update(is_sealed=False)  # which is what it was marked with
    assert crm_state() == state


def test_rows_of_emptied_deliveries_are_kept_and_counted(desk: Desk) -> None:
    desk.told(message("wamid.1", 0, name="Ana"), sent("wamid.2", 5), message("wamid.3", 9, phone=BEA))
    desk.became("wamid.2", "read", 7)
    deliveries_of("wamid.1", "wamid.2").update(body=b"", body_cleared_at=timezone.now())
    for model in (Identity, Message, MessageReceipt, ProfileFact, KapsoSession):
        model._default_manager.all().update(is_sealed=True)
    Message.objects.filter(kapso_message_id="wamid.3").update(is_sealed=False)
    state = crm_state()

    said = run("verify_crm")
    assert "Lima: 2 messages, " in said
    assert "rest on 3 deliveries with a cleared body" in said
    assert "Lima: no difference." in said
    Message.objects.filter(kapso_message_id="wamid.3").delete()
    Contact.objects.filter(phone=ANA).update(last_activity_at=None, last_contact_at=None)
    assert "2 leads put right" in run("rebuild_crm")
    assert crm_state() == state


def test_one_workspace_leaves_the_others_alone(desk: Desk) -> None:
    desk.told(message("wamid.1"), message("wamid.2", number=SAOPAULO))
    Contact.objects.update(last_activity_at=None)
    assert "Lima: 1 lead put right" in run("rebuild_crm", "--workspace", "lima")
    assert desk.lead().last_activity_at == moment(0)
    assert desk.lead(number=SAOPAULO).last_activity_at is None
    assert "FAILED There is no workspace nowhere. Known: lima, saopaulo." in run(
        "verify_crm", "--workspace", "nowhere"
    )


def test_an_empty_slug_is_no_workspace(desk: Desk) -> None:
    """As a shell makes of a variable that is not set: it must not mean all of them."""
    said = run("rebuild_crm", "--workspace", "")
    assert said == 'FAILED There is no workspace "". Known: lima, saopaulo.\n'


def test_a_long_wait_is_foretold(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.told(message("wamid.1"))
    Message.objects.all().delete()
    monkeypatch.setattr(rebuild_crm, "ROWS_A_SECOND", 0.1)
    said = run("rebuild_crm", "--workspace", "lima")
    assert "rows differ: webhooks wait for " in said
    assert said.index("rows differ: webhooks wait") < said.index("lead put right")


def test_a_dry_run_says_what_a_rebuild_would_do(desk: Desk) -> None:
    desk.told(message("wamid.1", name="Ana"))
    Contact.objects.update(last_activity_at=None)
    before = hashes()
    said = run("rebuild_crm", "--dry-run")
    assert "last activity (empty) becomes 2026-06-09 10:13:20 UTC" in said
    assert "Lima: 1 lead would change. Nothing was written.\n" in said
    assert hashes() == before
    assert run("verify_crm").endswith("FAILED 1 lead differs: manage.py rebuild_crm repairs it.\n")
    assert hashes() == before


def test_an_interrupted_rebuild_goes_on_where_it_was(desk: Desk) -> None:
    desk.told(*(message(f"wamid.{index}", index) for index in range(6)))
    Message.objects.filter(kapso_message_id="wamid.3").delete()

    def die(_: int) -> None:
        raise KeyboardInterrupt

    before = crm_state()
    with rebuilding(desk.numbers[LIMA].workspace) as rebuild:
        rebuild.begin()
        with pytest.raises(KeyboardInterrupt):
            rebuild.build(die, size=2)
    assert crm_state() == before
    assert rebuild_of(desk).count_waiting() == 4

    desk.told(message("wamid.6", 6))
    said = run("rebuild_crm", "--workspace", "lima")
    assert "Going on with what was begun: 2 deliveries are done." in said
    assert "1 lead put right" in said
    assert Message.objects.count() == 7
    assert not rebuild_of(desk).shadow.exists


def test_a_swap_that_dies_leaves_everything_as_it_was(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.told(message("wamid.1"), message("wamid.2", 5))
    Message.objects.filter(kapso_message_id="wamid.1").delete()
    Identity.objects.create(workspace=desk.numbers[LIMA].workspace, kind="phone", value=BEA)
    before = crm_state()
    with monkeypatch.context() as patch:
        patch.setattr(swapping, "refresh", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run("rebuild_crm")
    assert crm_state() == before
    assert Message.objects.count() == 1
    assert "Going on with what was begun" in run("rebuild_crm", "--workspace", "lima")
    assert run("verify_crm") == NO_DIFFERENCE
    assert Message.objects.count() == 2


def test_what_was_begun_on_other_grounds_is_begun_anew(desk: Desk, settings: Any) -> None:
    desk.told(message("wamid.1"))
    with rebuilding(desk.numbers[LIMA].workspace) as rebuild:
        rebuild.begin()
        rebuild.build()
    settings.CODE_VERSION = "0.1.0+another"
    assert "What was begun is out of date: beginning anew." in run("verify_crm", "--workspace", "lima")


GONE = "What was begun is gone, as it is when somebody is erased: beginning anew.\n"


@pytest.mark.parametrize("moment_of", ["build", "compared", "swap"])
def test_a_shadow_that_an_erasure_drops_is_begun_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, moment_of: str
) -> None:
    """Another connection drops it before a step; the step finds nothing, and above all writes to no live table."""
    desk.told(message("wamid.1", name="Ana"))
    state = crm_state()
    Message.objects.all().delete()
    step = getattr(Rebuild, moment_of)
    dropped: list[bool] = []

    def drop_first(rebuild: Rebuild, *arguments: Any, **named: Any) -> Any:
        if not dropped:
            dropped.append(True)
            other = Thread(target=drop_elsewhere, args=[rebuild])
            other.start()
            other.join()
        return step(rebuild, *arguments, **named)

    monkeypatch.setattr(Rebuild, moment_of, drop_first)
    said = run("rebuild_crm", "--workspace", "lima")
    assert GONE in said
    assert "1 lead put right" in said
    assert crm_state() == state


def drop_elsewhere(rebuild: Rebuild) -> None:
    try:
        rebuild.drop()
    finally:
        connection.close()


def test_a_batch_for_a_shadow_that_is_gone_writes_nothing(desk: Desk) -> None:
    desk.told(message("wamid.1"), message("wamid.2", 5))
    Message.objects.all().delete()
    before = crm_state()
    with rebuilding(desk.numbers[LIMA].workspace) as rebuild:
        rebuild.begin()
        with pytest.raises(Outdated):
            rebuild.build(lambda _: rebuild.drop(), size=1)
    assert crm_state() == before
    assert not Message.objects.exists()


def test_no_fact_is_removed_because_its_delivery_fails_now(desk: Desk) -> None:
    """The code is broken, or the disk is full, while the shadow is built: what was told is there all the same."""
    desk.told(message("wamid.1", name="Ana"), sent("wamid.2", 5))
    desk.became("wamid.2", "read", 7)
    Contact.objects.update(last_activity_at=None)
    before = crm_state()
    for command in ("verify_crm", "rebuild_crm"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(contacts.sync, "apply", lambda *_, **__: 1 / 0)
            said = run(command, "--workspace", "lima")
        first = WebhookDelivery.objects.earliest("pk").pk
        assert (
            f"FAILED Lima could not be rebuilt: 3 deliveries fail now that did not before: {first} (ZeroD"
            in said
        )
        assert "differ" not in said
        assert crm_state() == before
    said = run("rebuild_crm", "--workspace", "lima")
    assert "Going on with what was begun: 0 deliveries are done." in said
    assert "1 lead put right" in said
    assert "removed" not in said.replace("0 removed", "")


def test_no_fact_is_removed_because_a_replay_failed_before(desk: Desk) -> None:
    desk.told(message("wamid.1"))
    before = crm_state()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contacts.sync, "apply", lambda *_, **__: 1 / 0)
        WebhookDelivery.objects.update(code_version="0.1.0+before")
        replay(list(WebhookDelivery.objects.replayable()))
        assert WebhookDelivery.objects.get().status == "failed"
        assert "could not be rebuilt: 1 delivery fails now" in run("rebuild_crm", "--workspace", "lima")
    assert crm_state() == before


def test_what_failed_live_too_keeps_nobody_from_rebuilding(desk: Desk) -> None:
    desk.told(message("wamid.1"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contacts.sync, "apply", lambda *_, **__: 1 / 0)
        desk.post(message("wamid.2", 5))
        WebhookDelivery.objects.filter(status="processed").update(body_cleared_at=timezone.now(), body=b"")
        for model in (Identity, Message, KapsoSession):
            model._default_manager.all().update(is_sealed=True)
        said = run("verify_crm", "--workspace", "lima")
    assert "1 of the deliveries cannot be applied" in said
    assert "Lima: no difference." in said


INACTIVE = "777000000000777"


@pytest.fixture
def inactive(desk: Desk) -> PhoneNumber:
    """A second number of the workspace, not active."""
    workspace = desk.numbers[LIMA].workspace
    return PhoneNumber.objects.create(workspace=workspace, phone_number_id=INACTIVE, is_active=False)


def set_active(number: PhoneNumber, *, is_active: bool) -> None:
    PhoneNumber.objects.filter(pk=number.pk).update(is_active=is_active)


def test_what_waits_for_an_inactive_number_is_no_difference(desk: Desk, inactive: PhoneNumber) -> None:
    desk.post(batch(message("wamid.1"), message("wamid.2", 5, phone=BEA, number=INACTIVE)))
    delivery = WebhookDelivery.objects.get()
    assert (delivery.status, delivery.waits_for) == ("processed", [INACTIVE])
    assert run("verify_crm") == NO_DIFFERENCE
    run("rebuild_crm")
    assert Message.objects.count() == 1


def test_what_came_before_its_number_was_set_inactive_is_kept(desk: Desk, inactive: PhoneNumber) -> None:
    set_active(inactive, is_active=True)
    desk.post(batch(message("wamid.1"), message("wamid.2", 5, phone=BEA, number=INACTIVE)))
    set_active(inactive, is_active=False)
    state = crm_state()
    assert run("verify_crm") == NO_DIFFERENCE
    Identity.objects.filter(value=BEA).delete()
    run("rebuild_crm")
    assert crm_state() == state


def test_what_waited_and_is_applied_while_it_is_rebuilt_is_kept(desk: Desk, inactive: PhoneNumber) -> None:
    """The number is active for a moment only: nothing else tells that the delivery was applied after all."""
    desk.post(batch(message("wamid.1"), message("wamid.2", 5, phone=BEA, number=INACTIVE)))
    with rebuilding(desk.numbers[LIMA].workspace) as rebuild:
        rebuild.begin()
        rebuild.build()
        set_active(inactive, is_active=True)
        replay(list(WebhookDelivery.objects.replayable()))
        set_active(inactive, is_active=False)
        with rebuild.compared() as differences:
            assert not list(differences)


def test_what_was_ignored_only_when_replayed_is_kept(desk: Desk) -> None:
    """As replays left it once: the outcome says that the number is inactive, and the facts are there."""
    desk.told(message("wamid.1", name="Ana"), sent("wamid.2", 5))
    desk.became("wamid.2", "read", 7)
    set_active(desk.numbers[LIMA], is_active=False)
    for delivery in WebhookDelivery.objects.all():
        delivery.past_attempts.create(number=1, at=timezone.now(), status="processed")
    WebhookDelivery.objects.update(
        status="ignored", waits_for=[LIMA], attempts=2, error="It is set inactive."
    )
    state = crm_state()
    assert run("verify_crm") == NO_DIFFERENCE
    MessageReceipt.objects.all().delete()
    assert "FAILED" not in run("rebuild_crm")
    assert crm_state() == state


def test_the_wording_of_an_outcome_decides_nothing(desk: Desk) -> None:
    """It quotes what the sender wrote."""
    desk.told(message("wamid.1"))
    WebhookDelivery.objects.update(status="ignored", error="No conversation is set inactive.")
    assert run("verify_crm") == NO_DIFFERENCE


def test_a_body_that_is_emptied_meanwhile_makes_it_begin_anew(desk: Desk) -> None:
    desk.told(message("wamid.1"), message("wamid.2", 5))
    with rebuilding(desk.numbers[LIMA].workspace) as rebuild:
        rebuild.begin()
    WebhookDelivery.objects.update(body=b"", body_cleared_at=timezone.now())
    for model in (Identity, Message, KapsoSession):
        model._default_manager.all().update(is_sealed=True)
    said = run("rebuild_crm", "--workspace", "lima")
    assert "beginning anew" in said
    assert "Lima: no difference." in said
    assert Message.objects.count() == 2


def test_of_two_rebuilds_the_second_is_told(desk: Desk) -> None:
    workspace = desk.numbers[LIMA].workspace

    def hold() -> None:
        try:
            with rebuilding(workspace):
                held.set()
                done.wait(20)
        finally:
            connection.close()

    held, done = Event(), Event()
    other = Thread(target=hold)
    other.start()
    assert held.wait(20)
    said = run("rebuild_crm")
    done.set()
    other.join()
    assert said == "FAILED Lima is being rebuilt or verified by somebody else.\n"


def test_leads_that_were_wrongly_parted_or_joined_are_put_right(desk: Desk) -> None:
    """One person under two leads, and two persons under one: ids stay with whoever was there first."""
    desk.told(message("wamid.1", 0, user_id=ANA_ID, name="Ana"), message("wamid.2", 5, phone=BEA, name="Bea"))
    desk.told(message("wamid.3", 9, phone=CLE, name="Cleo"))
    ana, bea, cleo = desk.lead(ANA), desk.lead(BEA), desk.lead(CLE)
    state = crm_state()
    Identity.objects.filter(value=CLE).update(contact=bea)
    Message.objects.filter(contact=cleo).update(contact=bea, conversation=bea.conversations.get())
    Contact.objects.filter(pk=cleo.pk).update(merged_into=bea, phone=None)
    Identity.objects.filter(value=ANA).delete()
    said = run("rebuild_crm", "--workspace", "lima")
    assert "FAILED" not in said, said
    assert crm_state() == state
    assert [desk.lead(phone).pk for phone in (ANA, BEA, CLE)] == [ana.pk, bea.pk, cleo.pk]


def test_webhooks_that_arrive_meanwhile_are_neither_lost_nor_differences(cast: Cast, kapso: Kapso) -> None:
    def post(sender: int) -> None:
        index = 0
        while not done.is_set() and index < 150:
            phone = f"5191111{index % 7:04d}"
            body = message(
                f"wamid.{sender}.{index}", index, phone=phone, user_id=ANA_ID if index % 7 == 3 else None
            )
            answers.append(kapso.post(body, event="whatsapp.message.received").json["status"])
            index += 1

    answers: list[str] = []
    done = Event()
    senders = [Thread(target=post, args=[number]) for number in range(2)]
    for sender in senders:
        sender.start()
    try:
        said = [run("verify_crm", "--workspace", "lima")]
        Contact.objects.filter(phone="519111100010").update(last_activity_at=None)
        said += [run("rebuild_crm", "--workspace", "lima"), run("verify_crm", "--workspace", "lima")]
    finally:
        done.set()
        for sender in senders:
            sender.join()
    assert "FAILED" not in "".join(said), said
    assert set(answers) == {"processed"}
    assert Message.objects.filter(kapso_message_id__startswith="wamid.").count() >= len(answers) > 10
    assert "Lima: no difference." in run("verify_crm", "--workspace", "lima")

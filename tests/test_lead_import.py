"""Importing leads: whom a row names, what becomes of them, and that nothing is done twice or by half."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts import erasing, lead_export
from contacts.lead_history import history
from contacts.lead_import import running, uploading, writing
from contacts.lead_import.reading import Reading
from contacts.models import Contact, CustomField, Identity, Import, ImportPiece, ImportRow, LeadChange, Tag
from tests.builders import ANA, Desk, message
from tests.importing import as_csv, as_xlsx, checked, imported, notes, outcomes, rows, run, upload, why
from tests.reporting import Shop
from tests.state import crm_state

pytestmark = pytest.mark.django_db
HEADER = ["Phone", "Name", "E-mail", "Tags", "Owner", "Status", "Score"]


@pytest.fixture
def shop() -> Shop:
    shop = Shop.open("Lima", "America/Lima")
    shop.number.display_phone_number = "+51 1 555 0142"
    shop.number.save()
    return shop


@pytest.fixture
def ana(shop: Shop) -> User:
    return shop.member("ana", email="ana@shop.test")


def nameless(shop: Shop, **fields: Any) -> Contact:
    return Contact.objects.create(workspace=shop.workspace, **fields)


def test_a_new_lead_has_all_that_its_row_says(shop: Shop, ana: User) -> None:
    Tag.objects.create(workspace=shop.workspace, name="VIP")
    for key, kind in (
        ("size", "number"),
        ("born", "date"),
        ("club", "yes_no"),
        ("colour", "choice"),
        ("word", "text"),
    ):
        CustomField.objects.create(
            workspace=shop.workspace, key=key, label=key.title(), kind=kind, choices=["Red", "Blue"]
        )
    header = [*HEADER, "Origen", "Size", "Born", "Club", "Colour", "Word", "Unknown"]
    line = ["+51 911 110 001", " Zoë  Q ", "z@x.test", "vip; new", "ANA@shop.test", "Qualified", "12"]
    file = as_csv(header, [*line, "Fair", "1,5", "31/12/1990", "sí", "red", "free", "left out"])
    made = imported(shop.workspace, ana, file)
    (lead,) = Contact.objects.all()
    assert made.counts == {"new": 1}
    assert (lead.phone, lead.name, lead.email, lead.tags) == (
        "51911110001",
        "Zoë Q",
        "z@x.test",
        ["VIP", "new"],
    )
    assert (lead.owner, lead.lead_status, lead.lead_score, lead.source) == (ana, "qualified", 12, "Fair")
    assert lead.metadata == {"size": 1.5, "born": "1990-12-31", "club": True, "colour": "Red", "word": "free"}
    assert (lead.made_by_sync, lead.last_activity_at, lead.source) == (False, None, "Fair")
    identity = Identity.objects.get()
    assert (identity.contact, identity.value, identity.is_sealed) == (lead, "51911110001", True)
    assert [entry.text for entry in history(lead)] == ["Imported from leads.csv, row 2"]


def test_importing_the_same_file_again_changes_nothing(shop: Shop, ana: User) -> None:
    lines = [
        HEADER,
        ["51911110001", "Ana", "a@x.test", "one, two", "ana", "contacted", "3"],
        ["51911110001", "Ana again", "other@x.test", "three", "", "", "9"],
        ["", "Only mail", "m@x.test", "", "", "", ""],
        ["51911110002", "", "", "", "", "", ""],
        ["", "Mail again", "M@X.test", "", "", "", "4"],
        ["51911110003", "Same mail", "m@x.test", "", "", "", ""],
        ["", "Nobody", "", "", "", "", ""],
    ]
    for existing in ("fill", "overwrite", "leave"):
        first = imported(shop.workspace, ana, as_csv(*lines), existing=existing)
        assert Contact.objects.count() == 3
        before = list(Contact.objects.order_by("pk").values())
        known = LeadChange.objects.count()
        second = imported(shop.workspace, ana, as_csv(*lines), existing=existing)
        assert list(Contact.objects.order_by("pk").values()) == before
        assert LeadChange.objects.count() == known
        assert set(outcomes(second)) == {"same", "refused"}
        if existing == "fill":
            assert outcomes(first) == ["new", "changed", "new", "new", "changed", "changed", "refused"]
            assert notes(rows(first)[1]) == ["again"]


@pytest.mark.parametrize("existing", ["fill", "overwrite", "leave"])
def test_a_check_foretells_the_import(shop: Shop, ana: User, existing: str) -> None:
    """With rows of one person in different batches, and leads that are here already."""
    shop.lead("Known", phone="51911110001", email="known@x.test", tags=["old"])
    nameless(shop, phone="51911110002", lead_score=5)
    lines: list[list[Any]] = [["phone", "user id", "name", "email", "tags", "score"]]
    people = [("51911110001", "", "kn@x.test"), ("51911110002", "PE.2", "b@x.test"), ("", "PE.3", "c@x.test"),
              ("51911110004", "", ""), ("", "", "known@x.test"), ("51911110004", "PE.4", "d@x.test"),
              ("", "", "d@x.test"), ("51911110005", "PE.3", ""), ("", "", "")]  # fmt: skip
    for turn in range(4):
        for index, (phone, user, email) in enumerate(people):
            lines.append([phone, user, f"N{turn}" if index % 2 else "", email, f"t{turn}", turn * index])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "CHECK_AT_ONCE", 3)
        patch.setattr(running, "WRITE_AT_ONCE", 4)
        made = checked(shop.workspace, ana, as_csv(*lines), existing=existing)
        foretold = [(row.outcome, row.told) for row in rows(made)]
        assert Contact.objects.count() == 2
        assert running.start(made)
        made = run(made)
    assert [(row.outcome, row.told) for row in rows(made)] == foretold
    assert made.counts == {kind: sum(o == kind for o, _ in foretold) for kind in made.counts}


def test_people_are_found_by_every_form_of_their_phone(shop: Shop, ana: User) -> None:
    lead = shop.lead("Bia", phone="551187654321")  # without the ninth digit
    former = shop.lead("Caro", phone="51911110003")
    Contact.objects.filter(pk=former.pk).update(phone="51911110004")  # the old one stays hers
    Identity.objects.filter(contact=None).update(contact=former, home=former)
    lines = [["Celular", "Correo"], ["+55 11 98765-4321", "bia@x.test"], ["+51911110003", "caro@x.test"]]
    made = imported(shop.workspace, ana, as_csv(*lines))
    assert outcomes(made) == ["changed", "changed"]
    lead.refresh_from_db()
    former.refresh_from_db()
    assert (lead.email, lead.phone) == ("bia@x.test", "551187654321")
    assert (former.email, former.phone) == ("caro@x.test", "51911110004")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (["51911110001", "PE.2", ""], "two_people"),
        (["51911110009", "PE.2", ""], "two_phones"),
        (["51911110001", "PE.9", ""], ""),
        (["51911110003", "PE.9", ""], "two_ids"),
        (["", "", "twin@x.test"], "ambiguous"),
        (["", "", ""], "nobody"),
        (["5115550142", "", ""], "own_number"),
        (["911110077", "", ""], ""),
        (["9.11E+08", "", ""], "shortened"),
        (["call me", "", ""], "letters"),
        (["12", "", ""], "digits"),
        (["+999 123456", "", ""], "unknown_country"),
        (["+51 911", "", ""], "length"),
        (["+51 9111", "", ""], "length"),
        (["", "", "no mail"], "email"),
        (["", "x" * 257, ""], "long"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_say_why(shop: Shop, ana: User, line: list[str], reason: str) -> None:
    shop.lead("One", phone="51911110001")
    shop.lead("Two", phone="51911110002", business_scoped_user_id="PE.2")
    shop.lead("Three", phone="51911110003", business_scoped_user_id="PE.3")
    shop.lead("A", phone="51911110005", email="twin@x.test")
    shop.lead("B", phone="51911110006", email="Twin@x.test")
    made = checked(shop.workspace, ana, as_csv(["phone", "user id", "email", "name"], [*line, "N"]))
    (row,) = rows(made)
    assert why(row) == reason
    assert (row.outcome == "refused") == bool(reason)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("Status", "boss", "status"), ("Score", "many", "score"), ("Score", "1.5", "score"), ("Score", "1e9", "score"),
        ("Owner", "nobody", "owner"), ("Tags", "x" * 51, "long"), ("Name", "x" * 256, "long"), ("Size", "L", "number"),
        ("Born", "31/02/2000", "date"), ("Club", "perhaps", "yes_no"), ("Colour", "Green", "choice"),
        ("Word", "x" * 501, "long"), ("Tags", ",".join(map(str, range(51))), "tags"),
    ],
)  # fmt: skip
def test_values_of_the_wrong_type_say_what_they_must_be(
    shop: Shop, ana: User, column: str, value: str, reason: str
) -> None:
    for key, kind in (
        ("size", "number"),
        ("born", "date"),
        ("club", "yes_no"),
        ("colour", "choice"),
        ("word", "text"),
    ):
        CustomField.objects.create(
            workspace=shop.workspace, key=key, label=key.title(), kind=kind, choices=["Red", "Blue"]
        )
    made = imported(shop.workspace, ana, as_csv(["Phone", column], ["51911110001", value]))
    assert [why(row) for row in rows(made)] == [reason]
    assert not Contact.objects.exists()


def test_what_people_typed_stays_unless_it_is_to_be_replaced(shop: Shop, ana: User) -> None:
    typed = shop.lead(
        "Typed", phone="51911110001", email="typed@x.test", lead_score=3, tags=["a"], lead_status="contacted"
    )
    named = nameless(shop, phone="51911110002", kapso_name="Profile")
    Contact.objects.filter(pk=named.pk).update(name="Profile", chosen_name="Profile")  # as the sync does
    file = as_csv(
        HEADER,
        ["51911110001", "File", "file@x.test", "B", "ana", "new", "8"],
        ["51911110002", "File", "", "", "", "", ""],
    )
    made = imported(shop.workspace, ana, file)
    typed.refresh_from_db()
    named.refresh_from_db()
    assert (typed.name, typed.email, typed.lead_score, typed.tags) == ("Typed", "typed@x.test", 3, ["a", "B"])
    assert (typed.owner, typed.lead_status) == (ana, "contacted")
    assert notes(rows(made)[0]) == ["status_kept"]
    assert (named.name, named.chosen_name) == ("File", "")
    changes = (
        LeadChange.objects.filter(contact=typed)
        .order_by("kind")
        .values_list("kind", "before", "after", "by", "bulk")
    )
    assert list(changes) == [
        ("owner", None, ana.pk, ana.pk, made.bulk_id), ("tags", ["a"], ["a", "B"], ana.pk, made.bulk_id),
    ]  # fmt: skip
    imported(shop.workspace, ana, file, existing="overwrite")
    typed.refresh_from_db()
    assert (typed.name, typed.email, typed.lead_score, typed.tags) == ("File", "file@x.test", 8, ["a", "B"])
    assert typed.lead_status == "contacted"


def test_an_import_moves_no_clock_and_no_source(shop: Shop, ana: User) -> None:
    lead = shop.lead("Ana", phone="51911110001")
    shop.wrote(lead, datetime(2026, 6, 9, 10, tzinfo=UTC))
    columns = ("last_activity_at", "last_inbound_at", "last_contact_at", "source", "created_at")
    before = Contact.objects.values(*columns).get()
    imported(shop.workspace, ana, as_csv(["phone", "email", "source"], ["51911110001", "a@x.test", "Fair"]))
    assert Contact.objects.values(*columns).get() == before
    assert Contact.objects.get().email == "a@x.test"


def test_who_was_erased_is_not_brought_back(shop: Shop, ana: User) -> None:
    gone = shop.lead("Gone", phone="51911110001")
    waiting = checked(shop.workspace, ana, as_csv(["phone", "email"], ["51911110001", "x@x.test"]))
    erasing.erase(shop.workspace.pk, gone.pk)
    assert not ImportRow.objects.filter(of=waiting).exists()
    made = imported(shop.workspace, ana, as_csv(["phone"], ["51911110001"], ["51911110002"]))
    assert [(row.outcome, why(row)) for row in rows(made)] == [("refused", "erased"), ("new", "")]


def test_a_missing_phone_is_filled_in_where_a_user_id_proves_who_it_is(shop: Shop, ana: User) -> None:
    hidden = shop.lead("Hidden", phone=None, business_scoped_user_id="PE.1", email="h@x.test")
    file = as_csv(["phone", "user id", "email"], ["51911110001", "PE.1", ""], ["51911110002", "", "h@x.test"])
    made = imported(shop.workspace, ana, file)
    hidden.refresh_from_db()
    assert hidden.phone == "51911110001"
    assert Identity.objects.get(value="51911110001").contact == hidden
    # An e-mail alone does not give somebody another's phone.
    assert (outcomes(made), notes(rows(made)[1])) == (["changed", "new"], ["also_email"])
    assert [entry.text for entry in history(hidden)] == ["Phone: 51911110001"]


def test_an_import_is_of_one_workspace(shop: Shop, ana: User) -> None:
    other = Shop.open("Quito")
    theirs = other.lead("Theirs", phone="51911110001", email="t@x.test")
    made = imported(shop.workspace, ana, as_csv(["phone", "email"], ["51911110001", "t@x.test"]))
    assert outcomes(made) == ["new"]
    theirs.refresh_from_db()
    assert theirs.name == "Theirs"
    assert Contact.objects.filter(workspace=shop.workspace).count() == 1


def test_the_number_of_queries_does_not_depend_on_the_rows(shop: Shop, ana: User) -> None:
    def queries(count: int, start: int) -> tuple[int, int]:
        lines = [[f"5191111{start + n:04}", f"N{n}", f"{start + n}@x.test", "a", "ana"] for n in range(count)]
        made = upload(
            shop.workspace, ana, as_csv(["phone", "name", "email", "tags", "owner"], *lines, *lines[:2])
        )
        running.check(made)
        with CaptureQueriesContext(connection) as checking:
            made = run(made)
        running.start(made)
        with CaptureQueriesContext(connection) as importing:
            made = run(made)
        return len(checking), len(importing)

    few, many = queries(2, 0), queries(150, 100)
    assert few == many
    assert few[1] < 45


def test_what_is_interrupted_goes_on_where_it_was(
    shop: Shop, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "WRITE_AT_ONCE", 10)
    monkeypatch.setattr(running, "READ_AT_ONCE", 10)
    lines = [[f"5191111{n:04}", f"N{n}"] for n in range(35)]
    made = upload(shop.workspace, ana, as_csv(["phone", "name"], *lines))
    running.check(made)
    fail_after(monkeypatch, running, "_read", 2)
    with pytest.raises(KeyboardInterrupt):
        running.go_on(seconds=60)
    made.refresh_from_db()
    assert (made.rows, ImportRow.objects.count()) == (20, 20)
    made = run(made)
    assert (made.state, made.rows, made.counts) == ("checked", 35, {"new": 35})
    running.start(made)
    fail_after(monkeypatch, writing, "record", 2)
    with pytest.raises(KeyboardInterrupt):
        running.go_on(seconds=60)
    made.refresh_from_db()
    assert (Contact.objects.count(), made.counts, made.state) == (20, {"new": 20}, "running")
    made = run(made)
    assert (Contact.objects.count(), made.counts, made.state) == (35, {"new": 35}, "done")
    assert not ImportPiece.objects.exists()


def fail_after(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, times: int) -> None:
    """Killed in the middle of a batch, once."""
    calls = iter(range(1000))
    real = getattr(module, name)

    def failing(*args: Any, **more: Any) -> Any:
        result = real(*args, **more)
        if next(calls) == times:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(module, name, failing)


def test_an_import_has_one_who_works_on_it(shop: Shop, ana: User) -> None:
    made = upload(shop.workspace, ana, as_csv(["phone"], ["51911110001"]))
    running.check(made)
    other = running._claimed(made.pk)
    assert other
    assert not running.go_on(seconds=60)
    Import.objects.update(claimed_until=made.at)  # who had it died
    assert running.go_on(seconds=60)
    assert running._step(made.pk, other.claim, running._Rows(other), by_page=False) is None


def test_an_import_is_taken_back_as_far_as_nobody_has_had_to_do_with_it(shop: Shop, ana: User) -> None:
    known = nameless(shop, phone="51911110001", tags=["a"], email="k@x.test")
    since = nameless(shop, phone="51911110002")
    file = as_csv(
        ["phone", "name", "tags"], ["51911110001", "Known", "b"], ["51911110002", "Since", ""],
        *([f"5191111100{n}", f"N{n}", ""] for n in range(5)),
    )  # fmt: skip
    made = imported(shop.workspace, ana, file)
    Contact.objects.filter(pk=since.pk).update(name="Changed since")
    wrote, noted = Contact.objects.get(name="N1"), Contact.objects.get(name="N2")
    shop.wrote(wrote, datetime(2026, 6, 9, 10, tzinfo=UTC))
    LeadChange.objects.create(workspace=shop.workspace, contact=noted, kind="tags", before=[], after=["x"])
    assert running.undo(made)
    made = run(made)
    assert made.state == "undone"
    known.refresh_from_db()
    since.refresh_from_db()
    assert (known.name, known.tags, since.name) == ("", ["a"], "Changed since")
    assert set(Contact.objects.values_list("name", flat=True)) == {"", "Changed since", "N1", "N2"}
    assert Identity.objects.count() == 4
    assert (made.count("deleted"), made.count("returned"), made.count("left")) == (3, 1, 2)
    assert not running.undo(made)


def test_an_export_is_imported_as_it_is(shop: Shop, ana: User) -> None:
    CustomField.objects.create(workspace=shop.workspace, key="size", label="Size", kind="number")
    CustomField.objects.create(workspace=shop.workspace, key="email", label="Other", kind="text")
    shop.lead(
        "=1+1",
        email="a@x.test",
        tags=["a b", "c"],
        owner=ana,
        lead_score=-4,
        metadata={"size": 2.5, "email": "-x"},
    )
    shop.lead("+51", phone=None, business_scoped_user_id="PE.1", lead_status="archived")
    for fmt in ("csv", "xlsx"):
        leads = Contact.objects.order_by("pk")
        file = b"".join(lead_export.stream(leads, fmt, workspaces=[shop.workspace.pk]))
        made = imported(shop.workspace, ana, file, existing="overwrite")
        assert [(row.outcome, row.told) for row in rows(made)] == [("same", {}), ("same", {})]


def test_imported_people_are_who_writes_later(transactional_db: None) -> None:
    """And a rebuild keeps them."""
    desk = Desk.open()
    workspace = desk.numbers["480115511990231"].workspace
    by = User.objects.create_user("ana")
    imported(workspace, by, as_csv(["phone", "name"], [ANA, "Ana of the file"], ["51911110002", "Silent"]))
    desk.told(message("a", name="Profile"))
    lead = desk.lead()
    assert (lead.name, lead.kapso_name, lead.source) == ("Ana of the file", "Profile", "import")
    before = crm_state()
    call_command("rebuild_crm", "--workspace", workspace.slug, verbosity=0)
    assert crm_state() == before


@pytest.mark.parametrize("fmt", ["csv", "xlsx"])
def test_both_formats_say_the_same(shop: Shop, ana: User, fmt: str) -> None:
    lines: list[list[Any]] = [
        ["Teléfono", "Nombre", "Puntos"],
        [51911110001, "José", 4],
        ["+51 911 110 002", "Ana", 5.0],
    ]
    made = imported(shop.workspace, ana, as_csv(*lines) if fmt == "csv" else as_xlsx(*lines), name=f"x.{fmt}")
    assert made.counts == {"new": 2}
    assert list(Contact.objects.order_by("pk").values_list("phone", "name", "lead_score")) == [
        ("51911110001", "José", 4),
        ("51911110002", "Ana", 5),
    ]


def test_a_file_that_is_looked_at_anew_has_to_be_checked_anew(shop: Shop, ana: User) -> None:
    """Else rows that were checked as one thing would be imported as another."""
    made = checked(shop.workspace, ana, as_csv(["Phone", "Name"], ["51911110001", "Zoë"]))
    assert uploading.look_again(made, Reading(**made.reading))
    assert not running.start(made)
    made.refresh_from_db()
    assert (made.state, made.is_read, rows(made)) == ("uploaded", False, [])
    assert running.check(made)
    run(made)
    assert running.start(made)
    assert not uploading.look_again(made, Reading(**made.reading)), "it is at work"


def test_a_fault_of_ours_ends_a_check_and_keeps_nobody_else(
    shop: Shop, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = (upload(shop.workspace, ana, as_csv(["Phone"], [f"5191111000{n}"])) for n in (1, 2))
    assert running.check(bad)
    with monkeypatch.context() as patch:
        patch.setattr(running, "_read", lambda *_: 1 / 0)
        assert running.go_on(seconds=60)
    bad.refresh_from_db()
    assert bad.state == "failed"
    assert running.check(good)
    assert run(good).counts == {"new": 1}


def test_an_import_that_meets_a_fault_of_ours_lets_the_others_go_first(
    shop: Shop, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = (checked(shop.workspace, ana, as_csv(["Phone"], [f"5191111000{n}"])) for n in (1, 2))
    assert running.start(bad)
    assert running.start(good)
    with monkeypatch.context() as patch:
        patch.setattr(running, "_import", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            running.go_on(seconds=60)
    assert running.go_on(seconds=60)
    assert run(good).counts == {"new": 1}
    Import.objects.filter(pk=bad.pk).update(claimed_until=bad.at)  # as when its time is up
    assert run(bad).counts == {"new": 1}

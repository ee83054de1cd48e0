"""Whom a row names: by any phone or user id that a lead ever had, else by an e-mail that only one has.

A batch takes a fixed number of statements. While a file is only checked, whom earlier rows would make is looked up among
those rows; when it is imported, they are leads by then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from contacts.erasing import tombstones_of
from contacts.lead_import.planning import Known
from contacts.lead_import.words import Wrong
from contacts.models import Contact, Import
from contacts.phone_forms import forms
from contacts.shadow import plan_for_few_rows
from contacts.statements import import_leads as sql
from contacts.statements import run

Said = dict[str, Any]


def key_of(phone: str) -> str:
    """The same for every form of one mobile."""
    return forms(phone)[0]


class People:
    """Everybody whom the rows of a batch may name."""

    def __init__(self) -> None:
        self.by_person: dict[str, Known] = {}
        self._phones: dict[str, Known] = {}
        self._users: dict[str, Known] = {}
        self._emails: dict[str, dict[str, Known]] = {}
        self._erased: set[tuple[str, str]] = set()

    @classmethod
    def load(cls, made: Import, batch: Mapping[int, Said], *, is_check: bool) -> People:
        """Unless it is a check, the leads are locked until the transaction ends."""
        people = cls()
        plan_for_few_rows()  # the tables grow while it goes on: no plan must rest on how small they were
        asked = _asked(batch.values())
        at = {"workspace": made.workspace_id, "of": made.pk, "before": min(batch, default=0)}
        found = run(sql.MATCH, at | asked)
        people._load_leads({pk for _, _, pk in found}, is_check=is_check)
        if is_check:
            found_rows = run(sql.EARLIER, at | asked)
            people._load_rows(run(sql.AFTER, at | {"persons": sorted(people._persons(found_rows))}))
            found = [*found, *found_rows]
        else:
            leads = [known.pk for known in people.by_person.values()]
            for pk, row in run(sql.NAMED_BEFORE, at | {"leads": leads}):
                people.by_person[f"c{pk}"].row = row
        for kind, value, who in found:
            if known := people.by_person.get(who if isinstance(who, str) else f"c{who}"):
                people._remember(kind, value, known)
        people._erased = _erased(made.workspace_id, asked)
        return people

    def _persons(self, found: Iterable[tuple[Any, ...]]) -> set[str]:
        return {person for _, _, person in found} | set(self.by_person)

    def _load_leads(self, leads: set[int], *, is_check: bool) -> None:
        rows: Any = Contact.objects.filter(pk__in=leads, merged_into=None).order_by("pk")
        if not is_check:
            rows = rows.select_for_update(no_key=True, of=("self",))
        for row in rows.values(*_COLUMNS):
            pk, owner = row.pop("pk"), row.pop("owner_id")
            self.by_person[f"c{pk}"] = Known(f"c{pk}", pk=pk, owner=owner, **row)

    def _load_rows(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """What earlier rows would have made of them by now."""
        for person, after in rows:
            self.by_person[person] = Known(**json.loads(after))

    def _remember(self, kind: str, value: str, known: Known) -> None:
        if kind == "email":
            self._emails.setdefault(value, {})[known.person] = known
        else:
            (self._phones if kind == "phone" else self._users).setdefault(value, known)

    def learn(self, known: Known) -> None:
        """By what somebody is known after a row of this batch."""
        self.by_person[known.person] = known
        for kind, value in known_by(known).items():
            self._remember(kind, value, known)
        if known.phone:
            self._phones.setdefault(known.phone, known)

    def find(self, said: Said) -> tuple[Known | None, bool]:
        """Whom the row names, if anybody; and whether somebody else has its e-mail. Raises `Wrong`."""
        phone, user = said.get("phone"), said.get("business_scoped_user_id")
        email = said.get("email", "").lower()
        holder = self._holder(phone) if phone else None
        found = self._users.get(user, holder) if user else holder
        if found and holder and found is not holder:
            raise Wrong("two_people", one=holder.shown, other=found.shown)
        if found:
            _agree(found, phone if holder is None else None, user)
            return found, False
        if phone or user:
            return self._by_email_alone(email)
        if not email:
            raise Wrong("nobody")
        same = self._with(email)
        if len(same) > 1:
            raise Wrong("ambiguous", value=said["email"])
        return (same[0] if same else None), False

    def _holder(self, phone: str) -> Known | None:
        """Who has exactly this phone goes before who has it in its other form."""
        for form in (phone, *forms(phone)):
            if known := self._phones.get(form):
                return known
        return None

    def _by_email_alone(self, email: str) -> tuple[Known | None, bool]:
        """A row that brings a phone means a lead of the same e-mail only if there is one, known by nothing else."""
        same = self._with(email)
        if len(same) == 1 and not same[0].phone and not same[0].business_scoped_user_id:
            return same[0], False
        return None, bool(same)

    def _with(self, email: str) -> list[Known]:
        return [known for known in self._emails.get(email, {}).values() if known.email.lower() == email]

    def refuse_erased(self, said: Said) -> None:
        named = (("phone", said.get("phone")), ("user", said.get("business_scoped_user_id")))
        if self._erased and any(mark in self._erased for mark in named):
            raise Wrong("erased")


def _agree(found: Known, phone: str | None, user: str | None) -> None:
    """A phone that nobody has (`phone`), or a user id, must not be another one than the person's."""
    if phone and found.phone and key_of(found.phone) != key_of(phone):
        raise Wrong("two_phones", one=found.shown)
    if user and found.business_scoped_user_id and found.business_scoped_user_id != user:
        raise Wrong("two_ids", one=found.shown)


def known_by(known: Known) -> dict[str, str]:
    """By what somebody is found again; a phone in its shorter form."""
    ids = {
        "phone": key_of(known.phone) if known.phone else None,
        "user": known.business_scoped_user_id,
        "email": known.email.lower(),
    }
    return {kind: value for kind, value in ids.items() if value}


def _asked(batch: Iterable[Said]) -> dict[str, list[str]]:
    rows = list(batch)
    phones = {said["phone"] for said in rows if "phone" in said}
    return {
        "phones": sorted({form for phone in phones for form in forms(phone)}),
        "users": sorted(
            {said["business_scoped_user_id"] for said in rows if "business_scoped_user_id" in said}
        ),
        "emails": sorted({said["email"].lower() for said in rows if "email" in said}),
    }


def _erased(workspace: int, asked: dict[str, list[str]]) -> set[tuple[str, str]]:
    """Which of these phones and user ids belong to people who were erased."""
    marks = {(workspace, "phone", phone) for phone in asked["phones"]}
    marks |= {(workspace, "user", user) for user in asked["users"]}
    return {(kind, value) for _, kind, value in tombstones_of(marks)} if marks else set()


_COLUMNS = (
    "pk", "phone", "business_scoped_user_id", "name", "chosen_name", "email", "lead_score", "tags", "owner_id", "source",
    "lead_status", "metadata",
)  # fmt: skip

"""What is said of files and rows: stored as a code and its values, shown in the language of who reads."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

Told = list[Any]  # code, values by name

WORDS: dict[str, Any] = {
    # Of the whole file
    "empty": _("The file is empty."),
    "header_only": _("There are no rows below the header."),
    "too_large": _("The file is larger than %(most)s MB. Split it into several."),
    "too_many_rows": _("The file has more than %(most)s rows. Split it into several."),
    "too_many_columns": _("Row %(row)s has more than %(most)s columns."),
    "not_text": _("This is neither text nor an XLSX file. Save it as CSV or XLSX and upload that."),
    "old_excel": _(
        "This is an old Excel file, or one with a password. Save it as XLSX without a password, or as CSV."
    ),
    "not_xlsx": _("This is not an XLSX file, or it is damaged. Open it in a spreadsheet and save it again."),
    "too_dense": _("The XLSX file unpacks to more than can be read. Save it as CSV."),
    "no_sheet": _("There is no sheet with a header in this file."),
    "encoding": _("From row %(row)s on the text is not %(encoding)s. Choose another encoding."),
    "csv": _("Row %(row)s cannot be read: %(problem)s. Look for a quotation mark that is never closed."),
    "broken": _("The file could not be read to its end. Upload it again."),
    # Of what was chosen
    "choose_file": _("Choose a file."),
    "choose_workspace": _("Choose the workspace that the leads are for."),
    "twice": _("Two columns fill “%(field)s”. Choose one of them."),
    "no_key": _(
        "Say which column has the phone, the e-mail or the WhatsApp user ID: by a name alone nobody is found again."
    ),
    # Of a row: refused
    "cells": _(
        "It has %(cells)s cells, the header has %(columns)s. Put quotation marks around texts that contain the separator."
    ),
    "nobody": _(
        "It names nobody: it takes a phone, a WhatsApp user ID or an e-mail. A name alone is not enough to know somebody again."
    ),
    "letters": _("“%(value)s” is not a phone number: it has letters in it."),
    "shortened": _(
        "“%(value)s” was a phone number before a spreadsheet shortened it. Format the column as text and enter the number again."
    ),
    "digits": _("“%(value)s” is not a phone number: it takes 5 to 15 digits."),
    "no_country": _(
        "“%(value)s” has no country code. Begin it with + and the code, or choose the country of the file."
    ),
    "unknown_country": _("“%(value)s”: no country has this code."),
    "length": _("“%(value)s” is too long or too short for a number of its country."),
    "own_number": _("“%(value)s” is a number of your own."),
    "long": _("%(field)s has %(length)s characters; %(most)s is the most."),
    "email": _("“%(value)s” is not an e-mail address."),
    "score": _("“%(value)s” is not a score: it takes a whole number up to %(most)s."),
    "number": _("%(field)s: “%(value)s” is not a number."),
    "date": _("%(field)s: “%(value)s” is not a date. Write it as 2026-12-31."),
    "choice": _("%(field)s: “%(value)s” is none of %(allowed)s."),
    "yes_no": _("%(field)s: “%(value)s” is neither yes nor no."),
    "status": _("“%(value)s” is no status. It takes one of %(allowed)s."),
    "owner": _("“%(value)s” is nobody who works on leads of this workspace. Write a user name or an e-mail."),
    "owners": _("“%(value)s” is several people. Write the user name."),
    "tags": _("A lead has at most %(most)s tags."),
    "two_people": _("Its phone is %(one)s's, its user ID %(other)s's. Merge the two, or correct the row."),
    "two_phones": _(
        "Its phone is another one than that of %(one)s, who has its user ID. Correct one of the two."
    ),
    "two_ids": _("%(one)s, who has this phone, has another user ID. Correct one of the two."),
    "ambiguous": _(
        "Several leads have the e-mail %(value)s. Add the phone, so that it is clear who is meant."
    ),
    "erased": _("This person was erased. Add them by hand if they came back."),
    "taken": _("Somebody else added this person just now. Import the file again."),
    # Of a row: what else there is to say
    "again": _("The same person as in row %(row)s, which counts first."),
    "status_kept": _("The status stays %(status)s: an import moves no lead that is here already."),
    "source_kept": _("The source stays as it is."),
    "left": _("A lead already, left as it is."),
    "also_email": _("Another lead has the same e-mail."),
}


def shown(told: Told | None) -> str:
    """The sentence, in the language that is active."""
    if not told:
        return ""
    code, values = told
    return str(WORDS.get(code, code)) % values if code in WORDS else str(code)


class Wrong(Exception):  # noqa: N818 - said to people, not raised by a fault
    """A file or a row that cannot be taken; `told` says why."""

    def __init__(self, code: str, **values: Any) -> None:
        super().__init__(code)
        self.told: Told = [code, values]

    def __str__(self) -> str:
        return shown(self.told)

"""The list of leads in each of its views, the search, and the page of a lead, as the number of leads grows."""

from __future__ import annotations

from urllib.parse import quote

from benchmarks.bench import Bench
from benchmarks.measuring import Findings
from benchmarks.visiting import by_size, report

LIST = "/admin/contacts/contact/"
TABS = ("awaiting", "follow-up", "closing", "never", "mine", "unassigned", "again")
FILTERS = (
    *("status=qualified", "owner=me", "owner=nobody", "tag=vip", "source=ad-5", "number=1"),
    *("window=open", "window=closing", "window=closed", "quiet=30", "created=30"),
    *("marked=unread", "marked=human", "marked=due", "marked=aside"),
)
SEARCHES = {
    "a fragment of a name": "uispe 7",
    "a common name": "da Silva",
    "a name in another script": "ковальч",
    "a fragment of a phone": "60000 42",
    "an e-mail": "lead72@",
    "words of a message": "pedido 931",
    "nothing there": "zzqqxx",
}
PAGES = {
    "list": LIST,
    "list, page 5": f"{LIST}?p=5",
    **{f"list, {view}": f"{LIST}?view={view}" for view in TABS},
    **{f"list, {narrowed}": f"{LIST}?{narrowed}" for narrowed in FILTERS},
    **{f"search, {what}": f"{LIST}?q={quote(typed)}" for what, typed in SEARCHES.items()},
    "lead with 20,000 messages": f"{LIST}1/change/",
    "lead": f"{LIST}9/change/",
    "first page": "/admin/",
}
# Only these may show nobody with many leads: the first by design, the second by the hour, the pages of one lead.
MAY_BE_EMPTY = "nothing there|closing|^lead|first page"
GOALS = {
    "list": (60.0, 30.0),
    "search, a fragment of a name": (80.0, 40.0),
    "search, a fragment of a phone": (80.0, 40.0),
    "lead with 20,000 messages": (80.0, 40.0),
}


def measure(bench: Bench) -> Findings:
    findings = Findings()
    pages = dict(list(PAGES.items())[:: bench.size.every_page])
    report(findings, by_size(bench, pages, may_be_empty=MAY_BE_EMPTY), GOALS)
    return findings

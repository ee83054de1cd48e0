"""The REST API's pages, as the number of leads grows."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.measuring import Findings, NotHere
from benchmarks.servers import CHECKOUT
from benchmarks.visiting import by_size, report

PAGES = {
    "contacts": "/api/v1/contacts/",
    "contacts, qualified": "/api/v1/contacts/?lead_status=qualified",
    "messages of a lead": "/api/v1/messages/?contact=1",
    "messages": "/api/v1/messages/",
    "conversations": "/api/v1/conversations/",
}


def measure(bench: Bench) -> Findings:
    if not (CHECKOUT / "api" / "urls.py").exists():
        raise NotHere("this version has no API")
    findings = Findings()
    report(findings, by_size(bench, PAGES, uses_api=True, may_be_empty="messages|conversations"), {})
    return findings

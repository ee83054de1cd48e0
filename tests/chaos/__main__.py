"""`python -m tests.chaos`: prints what happened and what came of it; exits with 1 if anything is wrong."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from pathlib import Path

import django

from tests.chaos.site import CHECKOUT, SECRET, Site

MOST_MINUTES = 15
# Anything else than these was no answer of a webhook that minds its contract.
EXPECTED_ANSWERS = {"200", "503", "connection refused", "connection lost", "no answer in time"}


def main() -> int:
    options = _options()
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)  # so that everything started here is ended
    site = Site(options.folder)
    os.environ.update(site.environment)
    django.setup()
    logging.disable(logging.INFO)  # a line for each message of the replay at the end
    with site:
        return _ordeal(site, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--deliveries", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--kills", type=int, default=20, help="kill -9 of the server and its workers")
    parser.add_argument("--worker-kills", type=int, default=10, help="kill -9 of one worker, besides")
    parser.add_argument(
        "--restarts", type=int, default=5, help="of PostgreSQL, by turns in order and at once"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=MOST_MINUTES, help="it fails if it takes longer")
    parser.add_argument("--folder", type=Path, default=CHECKOUT / ".local" / "chaos")
    return parser.parse_args()


def _ordeal(site: Site, options: argparse.Namespace) -> int:
    # These know models, which Django's settings must be there for.
    from tests.chaos.senders import Senders
    from tests.chaos.traffic import Traffic
    from tests.chaos.trouble import Trouble
    from tests.chaos.verdict import findings, judge

    begun = time.monotonic()
    traffic = Traffic.of(options.deliveries, options.seed)
    _say(
        f"{len(traffic.deliveries)} deliveries, {len(traffic.messages)} messages of {len(traffic.people)} people"
    )
    site.start_server()
    site.wait_until_it_answers()
    senders = Senders(site.port, SECRET, traffic.deliveries, begun + options.minutes * 60)
    trouble = Trouble(options.kills, options.worker_kills, options.restarts, options.seed)
    senders.start(options.clients)
    try:
        happened = trouble.befall(site, senders)
        senders.join()
    finally:
        senders.stop()
    sent_in = time.monotonic() - begun
    site.kill_server()
    verdict = judge(traffic, senders.acknowledged)
    took = time.monotonic() - begun
    restarts = sum(count for what, count in happened.items() if what.startswith("restart"))
    unexpected = {answer: n for answer, n in senders.answers.items() if answer not in EXPECTED_ANSWERS}
    happened_all = (happened["kill"], restarts) == (options.kills, options.restarts)
    _say(
        "",
        *(f"  {name:<38}{value:>8}" for name, value in {
            "deliveries sent": len(traffic.deliveries),
            "server killed (kill -9, all of it)": happened["kill"],
            "single workers killed besides": happened["worker"],
            "server ended for that, started again": happened["server ended"],
            "PostgreSQL stopped and started": restarts,
            **{f"answers: {answer}": count for answer, count in sorted(senders.answers.items())},
            "retries": sum(senders.answers.values()) - len(senders.acknowledged),
            "copies recognised as such": verdict.copies,
            "kept as failed, then tried again": verdict.retried,
            "seconds until all were answered": round(sent_in),
            "seconds in all": round(took),
            "lost": len(verdict.lost),
            "doubled": len(verdict.doubled),
            "half-applied": len(verdict.half_applied),
            "unlike a replay into empty tables": len(verdict.unlike_a_replay),
        }.items()),
        *findings(verdict),
    )  # fmt: skip
    if unexpected or not happened_all or took > options.minutes * 60:
        _say(f"Not as planned: answers {unexpected}, trouble {dict(happened)}, {took:.0f} seconds.")
        return 1
    return 0 if verdict.is_good else 1


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

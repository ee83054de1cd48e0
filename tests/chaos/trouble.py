"""What goes wrong, and when: drawn from a seed, spread over the traffic by how much of it was acknowledged."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from random import Random

from tests.chaos.senders import Senders
from tests.chaos.site import FAST, IMMEDIATE, Site

AT_WORK = 50  # deliveries that are sent while something happens, at most
LONGEST_OUTAGE = 1.5  # seconds that PostgreSQL stays down


@dataclass(slots=True)
class Trouble:
    kills: int  # of the server with all its workers
    worker_kills: int  # of one worker, which the server has to replace by itself
    restarts: int  # of PostgreSQL
    seed: int

    def befall(self, site: Site, senders: Senders) -> Counter[str]:
        """Make all of it happen while the senders are at work; returns what did."""
        happened: Counter[str] = Counter()
        random, how = Random(self.seed), cycle([FAST, IMMEDIATE])  # noqa: S311
        plan = list(self._plan(len(senders.deliveries), random))
        for acknowledged, what in plan:
            senders.limit = acknowledged + AT_WORK
            while len(senders.acknowledged) < acknowledged and not senders.are_done:
                happened["server ended"] += site.tend()
                time.sleep(0.005)
            if senders.are_done:
                break
            time.sleep(random.random() * 0.1)
            if what == "kill":
                site.kill_server()
                site.start_server()
            elif what == "worker":
                what = what if site.kill_worker(random.randrange(2)) else "no worker there"
            else:
                signal = next(how)
                what = f"restart {signal.name}"
                site.stop_database(signal)
                time.sleep(random.random() * LONGEST_OUTAGE)
                site.start_database()
            happened[what] += 1
        senders.limit = len(senders.deliveries)
        while not senders.are_done:
            happened["server ended"] += site.tend()
            time.sleep(0.005)
        return happened

    def _plan(self, deliveries: int, random: Random) -> Iterator[tuple[int, str]]:
        """Each in a stretch of its own, so that there is work to interrupt each time; the end stays quiet."""
        kinds = ["kill"] * self.kills + ["worker"] * self.worker_kills + ["restart"] * self.restarts
        random.shuffle(kinds)
        stretch = deliveries * 0.97 / len(kinds)
        for index, kind in enumerate(kinds):
            yield int((index + 0.2 + 0.7 * random.random()) * stretch), kind

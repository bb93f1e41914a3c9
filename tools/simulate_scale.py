"""Simulation of many painters on one library: `python tools/simulate_scale.py`.

Painting times are arithmetic (counted operations by a card's published peak and an assumed
utilisation); times of the database are those that `tools/measure_store.py` measured; those of
networks and of an object store are published ones. Prints, for numbers of cards, how much of the
load is done and what is busiest, how long a cold start takes, and how many cards serve so many
visitors; `--plot FILE` draws the first as SVG. docs/scale.md explains all of it.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import simpy

Events = Iterator[Any]


@dataclass(frozen=True, kw_only=True)
class Card:
    """What paints: one GPU, or one node of CPUs.

    Attributes:
        peak: published TFLOP/s in the precision that is used.
        utilisation: share of the peak that is assumed to be reached.
        styles: how many styles its memory holds.
        painters: processes of a card, of which one paints while the others read and store.
    """

    name: str
    peak: float
    utilisation: float
    styles: int
    painters: int = 1

    def seconds(self, work: float) -> float:
        """Seconds for some TFLOP."""
        return work / (self.peak * self.utilisation)


CARDS = (
    Card(name="H100", peak=989.0, utilisation=0.4, styles=24, painters=4),
    Card(name="T4", peak=65.0, utilisation=0.35, styles=4),
    Card(name="CPU node", peak=5.1, utilisation=0.5, styles=16),
)


# Jobs of each card that may be under way before more are refused.
WAITING = 8


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a job costs beside the painting. Seconds, unless another unit is said.

    Attributes:
        work: TFLOP of a job: 20 steps at 512×640, with encoding and decoding.
        accept, claim, finish, renew, poll: of one core of the database's server.
        answer: latency of a statement that is written to the database's disk.
        cores: of the database's server.
        writes, reads: requests a second that the object store takes.
        photo, picture: megabytes.
        store: latency of a request to the object store.
        network: megabytes a second of a card's machine.
        weights: megabytes of a style.
        source: megabytes a second that all cards together read weights at.
        disk: megabytes a second that a card reads weights at from its own disk.
        styles: how many styles are asked for, equally often.
        pause: between two looks into an empty queue.
        beat: between two renewals of a lease.
    """

    work: float = 60.2
    accept: float = 0.0012
    claim: float = 0.0013
    finish: float = 0.0024
    renew: float = 0.0003
    poll: float = 0.0002
    answer: float = 0.005
    cores: int = 16
    writes: float = 3500.0
    reads: float = 5500.0
    photo: float = 0.7
    picture: float = 1.8
    store: float = 0.1
    network: float = 1250.0
    weights: float = 2900.0
    source: float = 5000.0
    disk: float = 1500.0
    styles: int = 3
    pause: float = 1.0
    beat: float = 10.0


class Shared:
    """Something that all use: so many at a time, the others wait in line."""

    def __init__(self, world: simpy.Environment, capacity: int = 1) -> None:
        self._world, self._capacity = world, capacity
        self._line = simpy.Resource(world, capacity)
        self.busy = 0.0

    def used(self, seconds: float) -> Events:
        """Wait for a place, and use it."""
        with self._line.request() as place:
            yield place
            yield self._world.timeout(seconds)
            self.busy += seconds

    def share(self, seconds: float) -> float:
        """The share of the time in which it was busy."""
        return self.busy / (seconds * self._capacity)


@dataclass(frozen=True)
class Asked:
    """A job in the queue: when it was asked for, its style, and what happens at its end."""

    at: float
    style: int
    done: simpy.Event


class Service:
    """Cards, a database, an object store and a source of weights, simulated.

    Args:
        card: what paints.
        count: how many.
        costs: what a job costs.
        seed: of the random numbers.
        warm: whether the cards have read their first style.
    """

    def __init__(
        self, card: Card, count: int, costs: Costs, *, seed: int = 0, warm: bool = True
    ) -> None:
        self.world = simpy.Environment()
        self.card, self.count, self.costs, self._began = card, count, costs, 0.0
        self._random = random.Random(seed)
        self.database = Shared(self.world, costs.cores)
        self.writes, self.reads = Shared(self.world), Shared(self.world)
        self.source, self.painting = Shared(self.world), 0.0
        self._queue: deque[Asked] = deque()
        self.underway = 0
        self.waits: list[float] = []
        self.first: list[float] = []
        for number in range(count):
            gpu, held = Shared(self.world), deque[int](maxlen=card.styles)
            if warm:
                held.extend((number + k) % costs.styles for k in range(costs.styles))
            for _ in range(card.painters):
                self.world.process(self._paint(gpu, held))
                self.world.process(self._beat())

    def ask(self) -> Events:
        """One job, from its acceptance to its end."""
        costs = self.costs
        self.underway += 1
        yield from self._stored(costs.photo)
        yield from self._row(costs.accept)
        style = self._random.randrange(costs.styles)
        job = Asked(self.world.now, style, self.world.event())
        self._queue.append(job)
        yield job.done
        self.underway -= 1

    def arrive(self, a_second: float) -> Events:
        """Jobs that come independently of each other; refused while very many are under way."""
        while True:
            yield self.world.timeout(self._random.expovariate(a_second))
            if self.underway < WAITING * self.count:
                self.world.process(self.ask())

    def visit(self, thinking: float) -> Events:
        """A visitor, who looks at each picture for a while before the next one."""
        while True:
            yield self.world.timeout(self._random.expovariate(1 / thinking))
            yield from self.ask()

    def begin(self) -> None:
        """Count from now on."""
        self._began, self.painting = self.world.now, 0.0
        self.waits.clear()
        for one in (self.database, self.writes, self.reads, self.source):
            one.busy = 0.0

    def shares(self) -> dict[str, float]:
        """How busy each part was since `begin`."""
        seconds = self.world.now - self._began
        return {
            "the cards": self.painting / (seconds * self.count),
            "the database": self.database.share(seconds),
            "writes to the store": self.writes.share(seconds),
            "reads from the store": self.reads.share(seconds),
            "the source of weights": self.source.share(seconds),
        }

    def _paint(self, gpu: Shared, held: deque[int]) -> Events:
        """One process of a card: it claims, reads, paints, and stores, one job after the other."""
        costs = self.costs
        if not held:
            yield from self.source.used(costs.weights / costs.source)
            held.append(0)
        self.first.append(self.world.now)
        yield self.world.timeout(self._random.uniform(0, costs.pause))
        while True:
            job = self._next(held)
            if job is None:
                yield from self.database.used(costs.poll)
                yield self.world.timeout(costs.pause)
                continue
            yield from self._row(costs.claim)
            yield from self._read(costs.photo)
            if job.style not in held:
                yield self.world.timeout(costs.weights / costs.disk)
                held.append(job.style)
            seconds = self.card.seconds(costs.work) * self._random.gammavariate(4, 1 / 4)
            yield from gpu.used(seconds)
            self.waits.append(self.world.now - seconds - job.at)
            self.painting += seconds
            yield from self._end(job)

    def _end(self, job: Asked) -> Events:
        yield from self._stored(self.costs.picture)
        yield from self._stored(0.02)
        yield from self._row(self.costs.finish)
        job.done.succeed()

    def _next(self, held: deque[int]) -> Asked | None:
        """The oldest job in line, but one of a style that the card holds before the others."""
        for place in range(min(len(self._queue), 50)):
            if self._queue[place].style in held:
                job = self._queue[place]
                del self._queue[place]
                return job
        return self._queue.popleft() if self._queue else None

    def _beat(self) -> Events:
        yield self.world.timeout(self._random.uniform(0, self.costs.beat))
        while True:
            yield from self.database.used(self.costs.renew)
            yield self.world.timeout(self.costs.beat)

    def _row(self, seconds: float) -> Events:
        yield from self.database.used(seconds)
        yield self.world.timeout(self.costs.answer)

    def _stored(self, megabytes: float) -> Events:
        yield from self.writes.used(1 / self.costs.writes)
        yield self.world.timeout(self.costs.store + megabytes / self.costs.network)

    def _read(self, megabytes: float) -> Events:
        yield from self.reads.used(1 / self.costs.reads)
        yield self.world.timeout(self.costs.store + megabytes / self.costs.network)


@dataclass(frozen=True, kw_only=True)
class Load:
    """How a number of cards does under a load.

    Attributes:
        offered: jobs an hour that come.
        done: jobs an hour that are painted.
        wait: seconds from acceptance to the first step, median.
        shares: how busy each part was.
    """

    cards: int
    offered: float
    done: float
    wait: float
    shares: dict[str, float]

    @property
    def busiest(self) -> str:
        """The part that was busy most of the time."""
        return max(self.shares, key=lambda name: self.shares[name])


def under_load(card: Card, count: int, costs: Costs, *, load: float, jobs: int) -> Load:
    """Simulate so many jobs, at a share of what the cards paint if nothing else takes time."""
    a_second = load * count / card.seconds(costs.work)
    before = 5 * (card.seconds(costs.work) + costs.pause)  # until it is as it stays
    seconds = max(jobs / a_second, before)
    service = Service(card, count, costs)
    service.world.process(service.arrive(a_second))
    service.world.run(before)
    service.begin()
    service.world.run(before + seconds)
    return Load(
        cards=count, offered=3600 * a_second, done=3600 * len(service.waits) / seconds,
        wait=statistics.median(service.waits or [seconds]), shares=service.shares(),
    )  # fmt: skip


def cold_start(card: Card, count: int, costs: Costs) -> float:
    """Seconds until the last of the cards has its first style, where all begin at once."""
    service = Service(card, count, costs, warm=False)
    service.world.run(costs.weights / costs.source * count + 1)
    return max(service.first)


def wait_of(card: Card, count: int, costs: Costs, visitors: int, thinking: float) -> float:
    """Seconds from the press to the first step, which 95 % of the visitors' jobs do not exceed."""
    service = Service(card, count, costs)
    for _ in range(visitors):
        service.world.process(service.visit(thinking))
    service.world.run(2 * thinking)
    service.begin()
    service.world.run(4 * thinking + 10 * card.seconds(costs.work))
    waits = sorted(service.waits)
    return waits[int(0.95 * len(waits))] if waits else float("inf")


def cards_for(card: Card, costs: Costs, visitors: int, thinking: float, most: float) -> int:
    """The fewest cards with which 95 % of the visitors' jobs wait at most so many seconds."""
    low = 0
    high = max(1, round(visitors * card.seconds(costs.work) / thinking))
    while wait_of(card, high, costs, visitors, thinking) > most:
        low, high = high, high * 2
    while high - low > max(1, high // 50):
        middle = (low + high) // 2
        enough = wait_of(card, middle, costs, visitors, thinking) <= most
        low, high = (low, middle) if enough else (middle, high)
    return high


COLOURS = ("#c2410c", "#475569", "#0369a1", "#a16207", "#7e22ce", "#15803d")


def variants(costs: Costs) -> dict[str, tuple[Card, Costs]]:
    """What is simulated: each card, and the fastest with its bottlenecks added or removed."""
    fastest = CARDS[0]
    split = replace(costs, writes=16 * costs.writes, reads=16 * costs.reads)
    return {
        **{card.name: (card, costs) for card in CARDS},
        f"{fastest.name}, 1 process": (replace(fastest, painters=1), costs),
        f"{fastest.name}, store split": (fastest, split),
        f"{fastest.name}, split, 64 cores": (fastest, replace(split, cores=64)),
    }


def plot(lines: dict[str, list[Load]]) -> str:
    """An SVG: share of the load that is done, by the number of cards on a logarithmic axis."""
    counts = [one.cards for one in next(iter(lines.values()))]
    width, height, left, top = 720, 360, 70, 30

    def at(count: int, share: float) -> tuple[float, float]:
        return (
            left + width * counts.index(count) / max(1, len(counts) - 1),
            top + height * (1 - min(share, 1.0)),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + 280} {height + 100}" '
        'font-family="sans-serif" font-size="14">',
        f'<rect width="{width + 280}" height="{height + 100}" fill="#ffffff"/>',
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = at(counts[0], share)
        parts.append(f'<path d="M{x} {y}h{width}" stroke="#e2e8f0"/>')
        parts.append(f'<text x="{x - 10}" y="{y + 5}" text-anchor="end">{share:.0%}</text>')
    for count in counts:
        x, y = at(count, 0)
        parts.append(f'<text x="{x}" y="{y + 24}" text-anchor="middle">{count:,}</text>')
    bottom = float(top)
    ranked = sorted(lines, key=lambda name: -lines[name][-1].done / lines[name][-1].offered)
    for name in ranked:
        colour = COLOURS[list(lines).index(name) % len(COLOURS)]
        points = [at(one.cards, one.done / one.offered) for one in lines[name]]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="3"/>')
        x, y = points[-1]
        bottom = max(y + 5, bottom + 18)  # names do not lie over each other
        parts.append(f'<text x="{x + 10}" y="{bottom:.1f}" fill="{colour}">{name}</text>')
    title = "Share of the offered jobs that is done, by the number of cards (simulated)"
    parts.append(f'<text x="{left}" y="{height + 85}">{title}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main(given: list[str] | None = None) -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cards", type=int, nargs="+", default=[1, 3, 10, 30, 100, 300, 1000])
    parser.add_argument("--jobs", type=int, default=20_000, help="of each simulation")
    parser.add_argument("--load", type=float, default=0.9, help="share of what the cards paint")
    parser.add_argument("--visitors", type=int, default=1000, help="0 leaves them out")
    parser.add_argument("--thinking", type=float, default=60.0, help="seconds between two presses")
    parser.add_argument("--most", type=float, default=3.0, help="seconds that 95 %% wait at most")
    parser.add_argument("--plot", type=Path, help="SVG file to write")
    options = parser.parse_args(given)
    costs, lines = Costs(), dict[str, list[Load]]()
    print("| card | seconds a job | jobs an hour |\n|---|---|---|")
    for card in CARDS:
        seconds = card.seconds(costs.work)
        print(f"| {card.name} | {seconds:.2f} | {3600 / seconds:,.0f} |")
    print("\n| cards | how many | jobs an hour | done | median wait | busiest | next |")
    print("|---|---|---|---|---|---|---|")
    for name, (card, its) in variants(costs).items():
        lines[name] = [
            under_load(card, count, its, load=options.load, jobs=options.jobs)
            for count in options.cards
        ]
        for one in lines[name]:
            ranked = sorted(one.shares.items(), key=lambda part: -part[1])
            told = [f"{part} {share:.0%}" for part, share in ranked[:2]]
            print(
                f"| {name} | {one.cards:,} | {one.offered:,.0f} | "
                f"{one.done / one.offered:.0%} | {one.wait:.1f} s | {' | '.join(told)} |"
            )
    starts = [f"{count:,}: {cold_start(CARDS[0], count, costs):.0f} s" for count in options.cards]
    print(f"\nUntil all cards have their first style, by their number: {', '.join(starts)}")
    for card in CARDS if options.visitors else ():
        count = cards_for(card, costs, options.visitors, options.thinking, options.most)
        print(f"{options.visitors:,} visitors need {count:,} of {card.name}.")
    if options.plot:
        options.plot.write_text(plot(lines), encoding="utf-8")


if __name__ == "__main__":
    main()

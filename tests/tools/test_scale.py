"""Tests of the simulation of many cards and of the measurement of a shared library; no times."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tools import measure_store, simulate_scale
from tools.simulate_scale import CARDS, Costs, Service, cards_for, cold_start, under_load, wait_of

CARD = CARDS[1]
COSTS = Costs()
NAMES = [card.name for card in CARDS]


def test_a_small_simulation_prints_every_card_and_draws_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate_scale.main(
        ["--cards", "1", "3", "--jobs", "60", "--visitors", "5", "--plot",
         str(tmp_path / "plot.svg")]
    )  # fmt: skip
    printed = capsys.readouterr().out
    names = list(simulate_scale.variants(COSTS))
    assert all(printed.count(f"| {name} |") == 2 + (name in NAMES) for name in names)
    assert "5 visitors need 1 of H100." in printed
    drawn = ElementTree.parse(tmp_path / "plot.svg").getroot()
    lines = drawn.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [2] * len(names)


@pytest.mark.parametrize(
    ("costs", "busiest"),
    [
        ({}, "the cards"),
        ({"cores": 1, "claim": 0.5}, "the database"),
        ({"writes": 4.0}, "writes to the store"),
        ({"reads": 1.0}, "reads from the store"),
    ],
)
def test_what_is_too_slow_is_the_bottleneck_and_bounds_the_jobs(
    costs: dict[str, float], busiest: str
) -> None:
    load = under_load(CARD, 10, replace(COSTS, styles=1, **costs), load=0.8, jobs=400)
    assert load.busiest == busiest
    assert load.shares[busiest] == pytest.approx(0.8 if not costs else 1.0, abs=0.1)
    assert (load.done > 0.85 * load.offered) == (not costs)


def test_cards_paint_what_arithmetic_says_where_nothing_else_takes_time() -> None:
    free = Costs(
        accept=0, claim=0, finish=0, renew=0, poll=0, answer=0, store=0, network=1e9,
        writes=1e9, reads=1e9, pause=0.001,
    )  # fmt: skip
    load = under_load(CARD, 2, free, load=2.0, jobs=1000)
    assert load.done == pytest.approx(2 * 3600 / CARD.seconds(free.work), rel=0.05)


def test_another_process_of_a_card_hides_the_way_to_the_store() -> None:
    done = [
        under_load(replace(CARDS[0], painters=painters), 4, COSTS, load=0.9, jobs=1000).done
        for painters in (1, 4)
    ]
    assert done[0] < 0.6 * done[1]


def test_all_jobs_of_the_visitors_end_once() -> None:
    service = Service(CARD, 3, COSTS)
    asked = [service.world.process(service.ask()) for _ in range(40)]
    service.world.run(600)
    assert all(one.processed for one in asked)
    assert len(service.waits) == 40
    assert service.underway == 0


def test_a_cold_start_takes_as_long_as_the_weights_of_all_cards() -> None:
    assert cold_start(CARD, 10, COSTS) == pytest.approx(10 * COSTS.weights / COSTS.source)


def test_so_many_cards_are_enough_and_fewer_are_not() -> None:
    count = cards_for(CARD, COSTS, 200, 30.0, 3.0)
    assert wait_of(CARD, count, COSTS, 200, 30.0) <= 3.0
    assert wait_of(CARD, count * 2 // 3, COSTS, 200, 30.0) > 3.0


def test_the_measurement_prints_every_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["measure_store.py", "--count", "3", "--processes", "1", "2", "--scale", "0.01"]
    monkeypatch.setattr(sys, "argv", given)
    measure_store.main()
    printed = capsys.readouterr().out
    assert all(printed.count(f"| {call} |") == 2 for call in measure_store.CALLS)
    assert "is written in" in printed

from __future__ import annotations

from itertools import pairwise

from contacts.charts import HEIGHT, STEP, columns, shares


def test_the_highest_column_is_as_high_as_the_picture_and_the_others_in_proportion() -> None:
    chart = columns([(10, 5), (0, 1)])
    assert [(bar.kind, bar.height) for bar in chart.bars] == [(0, HEIGHT), (1, 50), (0, 0), (1, 10)]
    assert all(bar.y + bar.height == HEIGHT for bar in chart.bars)
    assert (chart.width, chart.highest) == (2 * STEP, 10)


def test_columns_of_a_group_stand_side_by_side_within_their_room() -> None:
    bars = columns([(1, 1), (1, 1)]).bars
    assert [bar.x for bar in bars] == sorted(bar.x for bar in bars)
    assert all(one.x + one.width <= next_one.x for one, next_one in pairwise(bars))
    assert bars[-1].x + bars[-1].width <= 2 * STEP


def test_what_is_little_is_seen_all_the_same() -> None:
    assert columns([(100_000,), (1,)]).bars[1].height == 2
    assert shares([100_000, 1, 0]) == [100, 1, 0]


def test_nothing_is_an_empty_picture() -> None:
    assert all(not bar.height for bar in columns([(0, 0)]).bars)
    assert (columns([]).bars, shares([]), shares([0, 0])) == ([], [], [0, 0])

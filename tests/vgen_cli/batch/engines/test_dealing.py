"""Who gets which job: kinds stay together, every job ends once, and what kills its workers is given up."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.batch.engines.dealing import MOST_LOSSES, Dealing
from vgen_cli.batch.jobs import Job
from vgen_cli.media.destination import Destination
from vgen_cli.recipe import Recipe


def job(line, model="nano"):
    recipe = Recipe.create(command="t2v", prompt="a", seed=line, model=model)
    return Job(line, line, recipe, Destination(Path(f"{line}.mp4"), "mp4"))


def dealing(*models):
    return Dealing([job(line, model) for line, model in enumerate(models, 1)], lambda each: each.recipe.model)


def test_one_kind_in_the_order_of_the_file():
    deal = dealing("a", "a", "a")
    assert [deal.give(worker).job.line for worker in ("x", "y", "x")] == [1, 2, 3]
    assert deal.give("y") is None
    assert deal.left
    for number in (2, 1, 3):
        deal.end(deal.find(number))
    assert not deal.left


def test_workers_keep_to_their_kind_and_share_the_kinds():
    deal = dealing("a", "b", "a", "b", "a", "b")
    given = [(worker, deal.give(worker).job.recipe.model) for worker in ("x", "y") * 3]
    assert given == [("x", "a"), ("y", "b")] * 3


def test_a_worker_whose_kind_is_through_takes_the_one_most_in_want():
    deal = dealing("a", *"bbbb", *"cc")
    assert deal.give("x").job.recipe.model == "b"
    assert deal.give("y").job.recipe.model == "c"
    assert deal.give("z").job.recipe.model == "b"
    kinds = [deal.give("y").job.recipe.model for _ in range(3)]
    assert kinds == ["c", "a", "b"]


def test_what_a_lost_worker_had_waits_first():
    deal = dealing("a", "a", "a", "a")
    first, ahead = deal.give("x"), deal.give("x")
    first.begun = True
    assert deal.lose("x") == []
    assert deal.find(first.number) is deal.find(ahead.number) is None
    assert [deal.give("y").job.line for _ in range(4)] == [1, 2, 3, 4]


def test_a_job_that_kills_its_workers_is_given_up_and_the_one_behind_it_is_not():
    deal = dealing("a", "a", "a")
    turn, ahead = deal.give("x0"), deal.give("x0", behind=True)
    assert (turn.job.line, ahead.job.line) == (1, 2)
    turn.begun = True
    assert deal.lose("x0") == []
    for number in range(1, MOST_LOSSES):
        turn = deal.give(f"x{number}")
        assert (turn.job.line, turn.alone) == (1, True)
        assert deal.give(f"x{number}", behind=True) is None
        given_up = deal.lose(f"x{number}")
        assert [each.line for each in given_up] == ([1] if number == MOST_LOSSES - 1 else [])
    assert [deal.give("y").job.line for _ in range(2)] == [2, 3]
    assert deal.give("y") is None


def test_one_that_seemed_to_blame_once_is_not_given_up_for_the_one_behind_it():
    """The last news of a worker may be lost with it: what it had made already seems to be what it was at."""
    deal = dealing("a", "a")
    first, _ = deal.give("x"), deal.give("x", behind=True)
    first.begun = True
    deal.lose("x")  # over the second, in truth
    deal.end(deal.give("y"))
    given_up = []
    for number in range(MOST_LOSSES):
        assert deal.give(f"z{number}").job.line == 2
        given_up += deal.lose(f"z{number}")
    assert [each.line for each in given_up] == [2]
    assert not deal.left


def test_what_is_made_is_not_lost_with_its_worker():
    deal = dealing("a", "a")
    made, second = deal.give("x"), deal.give("x")
    made.begun = made.made = second.begun = True
    deal.lose("x")
    assert deal.find(made.number) is made
    assert deal.give("y").job.line == 2
    deal.end(made)
    assert deal.left


def test_a_kind_goes_to_those_who_can_make_it():
    deal = dealing("a", "b", "a")
    turn = deal.give("x")
    deal.cannot(turn, "no weights")
    assert deal.give("x").job.recipe.model == "b"
    assert deal.give("x") is None
    assert deal.hopeless([]) == []
    assert deal.hopeless(["x", "y"]) == []
    assert deal.give("y").job.line == 1
    assert [(each.line, why) for each, why in deal.hopeless(["x"])] == [(3, "no weights")]
    assert deal.waiting == 0


@given(
    st.lists(st.sampled_from("abc"), max_size=12),
    st.lists(
        st.tuples(st.sampled_from(["give", "end", "begin", "back", "lose", "cannot", "made"]), st.integers(0, 3)),
        max_size=80,
    ),
)
def test_every_job_comes_to_one_end(models, moves):
    deal = dealing(*models)
    ended: list[int] = []
    for move, worker in moves:
        name = f"w{worker}"
        held = deal.of(name)
        if move == "give":
            deal.give(name)
        elif move == "lose":
            ended += [each.line for each in deal.lose(name)]
        elif held and move == "end":
            deal.end(held[0])
            ended.append(held[0].job.line)
        elif held and move == "begin":
            held[0].begun = True
        elif held and move == "made":
            held[0].begun = held[0].made = True
        elif len(held) > 1 and move == "back":
            deal.take_back(held[-1])
        elif held and move == "cannot":
            deal.cannot(held[0], "no")
    for number in range(1, 200):
        if turn := deal.find(number):
            deal.end(turn)
            ended.append(turn.job.line)
    while turn := deal.give("last"):
        deal.end(turn)
        ended.append(turn.job.line)
    assert sorted(ended) == list(range(1, len(models) + 1))
    assert not deal.left
    assert deal.waiting == 0

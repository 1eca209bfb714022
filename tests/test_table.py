"""Table files and what is made of rows, on hand-written rows with known means and spreads."""

from __future__ import annotations

import copy
import csv
import io
import json
import logging
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from sciml import render, verdict
from sciml.errors import UsageError
from sciml.folder import run_folder
from sciml.grid import Reported, Source, Tolerance, cells, harmless, merge
from sciml.table import agrees, load, names, places, reported
from sciml.tablefile import parse
from sciml.tabletext import as_text

SOURCE = Source("Doe 2020", "Table 7", "read")
TREE = {
    "title": "A title",
    "paper": "doe2020x",
    "experiment": "doe2020x/case",
    "metric": {
        "key": "err", "label": "error", "unit": "%", "scale": 100, "better": "lower", "definition": "as it says",
    },
    "source": {"text": "Doe 2020", "where": "Table 7", "known": "read"},
    "tolerance": {"std": 2, "relative": 0.1},
    "budgets": {
        "paper": {"overrides": ["trainer.max_steps=1000"], "seeds": [0, 1, 2], "note": "many steps"},
        "desk": {"overrides": ["optimizer=soap", "trainer.max_steps=10"], "seeds": [0, 1]},
    },
    "columns": [{"name": "easy", "overrides": ["pinn.beta=1"]}, {"name": "hard", "overrides": ["pinn.beta=5"]}],
    "rows": [
        {"name": "nothing", "kind": "floor", "experiment": "doe2020x/base", "overrides": ["base.predict=mean"]},
        {"name": "A", "overrides": ["pinn/points=a"], "reported": [{"mean": 10, "std": 1}, None]},
        {"name": "B", "overrides": ["pinn/points=b"], "reported": [{"mean": 2.5}, {"mean": "5e-1", "std": 0.1}]},
        {"name": "exact", "kind": "ceiling", "experiment": "doe2020x/base", "overrides": ["base.predict=reference"]},
    ],
}  # fmt: skip


@pytest.fixture
def where(tmp_path: Path) -> list[Path]:
    conf = tmp_path / "conf"
    for name in ("table/doe2020x", "paper", "experiment/doe2020x"):
        (conf / name).mkdir(parents=True)
    (conf / "paper/doe2020x.yaml").write_text("title: T\nauthors: J. Doe\nyear: 2020\n")
    (conf / "table/doe2020x/main.yaml").write_text(yaml.safe_dump(TREE))
    (conf / "experiment/doe2020x/case.yaml").write_text(
        "defaults:\n  - /pinn: default\n  - override /pinn/points: a\n  - override /network: mlp\n"
    )
    return [conf]


@pytest.fixture
def table():
    return parse("doe2020x/main", copy.deepcopy(TREE))


def changed(*path_and_value):
    *path, value = path_and_value
    tree = copy.deepcopy(TREE)
    node = tree
    for part in path[:-1]:
        node = node[part]
    if value is None and not isinstance(node, list):
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return tree


def test_a_table_file_is_read_whole(where):
    table = load("doe2020x/main", where)
    assert [row.kind for row in table.rows] == ["floor", "method", "method", "ceiling"]
    assert table.rows[1].reported == (Reported(10.0, SOURCE, 1.0), None)
    assert table.rows[2].reported == (Reported(2.5, SOURCE), Reported(0.5, SOURCE, 0.1))
    assert table.rows[0].reported == (None, None)
    assert table.budgets["desk"].seeds == (0, 1)
    assert table.columns[1].metric.scale == 100
    assert str(table.source) == "Doe 2020, Table 7 (read)"
    assert names(where) == ["doe2020x/main"]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (changed("titel", "x"), "there is no key titel; did you mean title?"),
        (changed("metric", None), "metric is missing"),
        (changed("metric", "better", "less"), "metric.better: must be lower or higher, not 'less'"),
        (changed("metric", "scale", "big"), "metric.scale: must be a number, not 'big'"),
        (changed("metric", "scale", 0), "metric.scale: must be positive, not 0"),
        (changed("metric", "definition", " "), "metric.definition: must be text, not ' '"),
        (
            changed("rows", 1, "source", {"where": 7}),
            "rows[1] 'A': source.where: must be text, not 7",
        ),
        (
            changed("rows", 1, "reported", 0, {"mean": 1, "source": {"page": "3"}}),
            "rows[1] 'A', column 'easy': reported: source: there is no key page",
        ),
        (changed("source", "known", "guessed"), "source.known: must be read or second-hand, not 'guessed'"),
        (changed("tolerance", {}), "tolerance: must state std, relative or absolute as a positive number"),
        (changed("tolerance", "std", -1), "tolerance: must state std, relative or absolute as a positive number"),
        (changed("budgets", "paper", None), "budgets: must be a mapping that has the budget 'paper'"),
        (
            changed("budgets", "desk", "seeds", [0, 0]),
            "budgets.desk.seeds: must be a list of different whole numbers, not [0, 0]",
        ),
        (
            changed("budgets", "more", {"like": "later", "overrides": [], "seeds": [0]}),
            "budgets.more.like: must be paper or desk, not 'later'",
        ),
        (
            changed("budgets", "desk", "seeds", [True]),
            "budgets.desk.seeds: must be a list of different whole numbers, not [True]",
        ),
        (
            changed("budgets", "desk", "overrides", "a=1"),
            "budgets.desk.overrides: must be a list of group=option or key=value, not 'a=1'",
        ),
        (changed("columns", []), "columns: must be a list with at least one entry, not []"),
        (changed("columns", 1, "name", "easy"), "columns: the name 'easy' is there twice"),
        (changed("columns", 0, "overides", []), "columns[0]: there is no key overides; did you mean overrides?"),
        (changed("rows", 1, "kind", "best"), "rows[1] 'A': kind: must be method or floor or ceiling, not 'best'"),
        (changed("rows", 1, "reported", [None]), "rows[1] 'A': reported has 1 entries for 2 columns (easy, hard)"),
        (
            changed("rows", 1, "reported", None),
            "rows[1] 'A': reported is missing (null for a number that nobody has read)",
        ),
        (changed("rows", 1, "reported", 3), "rows[1] 'A': reported must be a list with one entry per column, not 3"),
        (
            changed("rows", 1, "reported", 1, 3),
            "rows[1] 'A', column 'hard': reported: must be a mapping with mean, std, source, not 3",
        ),
        (
            changed("rows", 1, "reported", 0, {"mean": "nan"}),
            "rows[1] 'A', column 'easy': reported.mean: must be a number, not 'nan'",
        ),
        (
            changed("rows", 1, "reported", 0, {"mean": 1, "std": -2}),
            "rows[1] 'A', column 'easy': reported.std: must not be negative, not -2",
        ),
        (changed("rows", 1, "reported", 0, {"std": 1}), "rows[1] 'A', column 'easy': reported: mean is missing"),
        (
            changed("rows", 1, "overrides", ["a"]),
            "rows[1] 'A': overrides: 'a' is not of the form group=option or key=value",
        ),
        (changed("rows", 1, "overrides", ["a=1", "+a=2"]), "rows[1] 'A': overrides: a is given twice"),
        (changed("rows", 1, "overrides", ["seed=4"]), "rows[1] 'A': overrides: 'seed=4' is not for a cell to say"),
        (
            changed("rows", 1, "overrides", ["hydra/launcher=x"]),
            "rows[1] 'A': overrides: 'hydra/launcher=x' is not for a cell to say",
        ),
        (
            changed("rows", 1, "overrides", ["--trust=os"]),
            "rows[1] 'A': overrides: '--trust=os' is not of the form group=option or key=value",
        ),
        (changed("rows", 1, "experiment", "../x"), "rows[1] 'A': experiment: must be the name of a config, not '../x'"),
        (
            changed("rows", 0, "kind", "ceiling"),
            "rows: none has kind: floor (the trivial answer), which every table carries",
        ),
        (
            changed("rows", 3, "kind", "floor"),
            "rows: none has kind: ceiling (the exact one), which every table carries",
        ),
        ({**TREE, "no_ceiling": "lost"}, "no_ceiling: a row has kind: ceiling; leave one of them out"),
        ({**changed("rows", 3, "kind", "floor"), "no_ceiling": 3}, "no_ceiling: must be text, not 3"),
        ({**TREE, "cost": "steps"}, "cost: must be a list with at least one entry, not 'steps'"),
        ({**TREE, "cost": ["steps", 3]}, "cost[1]: must be text, not 3"),
        ([1], f"must be a mapping with {', '.join(TREE)}, no_ceiling, cost, not [1]"),
    ],
)
def test_a_mistake_in_a_table_file_is_named_with_its_place(tree, message):
    with pytest.raises(UsageError) as caught:
        parse("doe2020x/main", tree)
    assert str(caught.value) == f"table/doe2020x/main.yaml: {message}"


def test_a_table_without_an_exact_row_says_why(tmp_path):
    table = parse("doe2020x/main", {**changed("rows", 3, "kind", "floor"), "no_ceiling": "labels are all there is"})
    report, _ = made(tmp_path, table, "paper", VALUES)
    assert "no ceiling: labels are all there is" in list(render.above(report))


def test_files_that_are_not_there_or_no_yaml_are_named(where):
    with pytest.raises(
        UsageError, match=r"^there is no table doe2020x/mian; did you mean doe2020x/main\?\navailable: doe"
    ):
        load("doe2020x/mian", where)
    file = where[0] / "table/doe2020x/main.yaml"
    file.write_text("title: a\nrows: [\n")
    with pytest.raises(UsageError, match=r"^table/doe2020x/main.yaml: line 3: "):
        load("doe2020x/main", where)
    file.write_text(yaml.safe_dump(changed("paper", "nobody")))
    with pytest.raises(UsageError, match=r"^table/doe2020x/main.yaml: paper: there is no paper/nobody.yaml$"):
        load("doe2020x/main", where)


def test_a_row_may_spend_a_budget_in_its_own_way():
    tree = changed("rows", 1, "budgets", {"desk": ["trainer.max_steps=20"]})
    tree["rows"][0]["budgets"] = {"desk": ["base.points=9"]}
    table = parse("doe2020x/main", tree)
    found = {(cell.row.name, cell.column.name): cell.overrides for cell in cells(table, table.budgets["desk"])}
    assert found["A", "hard"] == ("optimizer=soap", "trainer.max_steps=20", "pinn.beta=5", "pinn/points=a")
    assert "trainer.max_steps=10" in found["B", "easy"]
    assert found["nothing", "easy"] == ("pinn.beta=1", "base.predict=mean", "base.points=9")
    found = {cell.row.name: cell.overrides for cell in cells(table, table.budgets["paper"])}
    assert "trainer.max_steps=1000" in found["A"]
    assert "base.points=9" not in found["nothing"]
    with pytest.raises(UsageError, match=r"rows\[1\] 'A': budgets: there is no key desc; did you mean desk"):
        parse("doe2020x/main", changed("rows", 1, "budgets", {"desc": []}))


def test_a_column_may_spend_a_budget_in_its_own_way():
    tree = changed("columns", 1, "budgets", {"desk": ["trainer.max_steps=30", "base.points=7"]})
    tree["rows"][1]["budgets"] = {"desk": ["trainer.max_steps=20"]}
    table = parse("doe2020x/main", tree)
    found = {(cell.row.name, cell.column.name): cell.overrides for cell in cells(table, table.budgets["desk"])}
    assert found["A", "hard"] == (
        "optimizer=soap", "trainer.max_steps=20", "pinn.beta=5", "base.points=7", "pinn/points=a",
    )  # fmt: skip
    assert "trainer.max_steps=30" in found["B", "hard"]  # later than the table's budget, earlier than a row's
    assert "trainer.max_steps=10" in found["B", "easy"]
    assert "base.points=7" not in found["nothing", "hard"]  # is not trained
    assert all("base.points=7" not in cell.overrides for cell in cells(table, table.budgets["paper"]))
    with pytest.raises(UsageError, match=r"columns\[1\] 'hard': budgets: there is no key desc; did you mean desk"):
        parse("doe2020x/main", changed("columns", 1, "budgets", {"desc": []}))


def test_a_budget_may_be_like_another():
    tree = changed("budgets", "long", {"like": "desk", "overrides": ["base.points=99"], "seeds": [4]})
    tree["columns"][1]["budgets"] = {"desk": ["pinn.beta=6"]}
    tree["rows"][1]["budgets"] = {"desk": ["trainer.max_steps=20", "base.a=1"], "long": ["trainer.max_steps=80"]}
    table = parse("doe2020x/main", tree)
    found = {(cell.row.name, cell.column.name): cell for cell in cells(table, table.budgets["long"])}
    assert sorted(found["A", "hard"].overrides) == [
        "base.a=1", "base.points=99", "optimizer=soap", "pinn.beta=6", "pinn/points=a", "trainer.max_steps=80",
    ]  # fmt: skip
    assert found["A", "hard"].seeds == (4,)
    assert "trainer.max_steps=10" in found["B", "easy"].overrides
    assert "trainer.max_steps=20" in cells(table, table.budgets["desk"])[2].overrides


def test_cells_are_in_table_order_and_later_overrides_win(table):
    found = cells(table, table.budgets["desk"], ["trainer.max_steps=3", "track.mode=disabled"])
    assert [(c.row.name, c.column.name) for c in found[:4]] == [
        ("nothing", "easy"), ("nothing", "hard"), ("A", "easy"), ("A", "hard"),
    ]  # fmt: skip
    assert found[2].overrides == (
        "optimizer=soap", "trainer.max_steps=3", "pinn.beta=1", "pinn/points=a", "track.mode=disabled",
    )  # fmt: skip
    assert found[2].seeds == (0, 1)
    # Not trained: neither the budget nor what changes a number, and one seed.
    assert found[0].overrides == ("pinn.beta=1", "base.predict=mean", "track.mode=disabled")
    assert (found[0].seeds, found[0].experiment, found[2].experiment) == ((0,), "doe2020x/base", "doe2020x/case")
    assert merge(["a=1", "b=2"], ["+a=3"]) == ("+a=3", "b=2")
    assert [harmless(o) for o in ("track.mode=x", "threads=2", "trainer.accelerator=gpu", "trainer.max_steps=2")] == [
        True, True, True, False,
    ]  # fmt: skip


def made(tmp_path, table, budget, values, extra=(), cost=lambda cell, seed: {}):
    """A report on rows with the given values; ``values[row, column]`` has one per seed, None for no row."""
    chosen, folders = table.budgets[budget], {}
    plan = cells(table, chosen, extra)
    for i, cell in enumerate(plan):
        for seed, value in zip(cell.seeds, values.get((cell.row.name, cell.column.name), []), strict=False):
            folder = run_folder(tmp_path, cell.experiment, f"{i:010x}", seed)
            folder.create()
            row = {"experiment": cell.experiment, "family": "pinn", "hash": f"{i:010x}", "seed": seed}
            if value is not None:
                filed = {"metrics": {"err": value}, "cost": cost(cell, seed), "wall_seconds": 2.0 + seed}
                folder.write_row({**row, **filed, "commit": "c" * 40})
        for seed in cell.seeds:
            folders[cell.row.name, cell.column.name, seed] = run_folder(tmp_path, cell.experiment, f"{i:010x}", seed)
    return verdict.collect(table, "J. Doe (2020). T", chosen, extra, plan, folders), folders


VALUES = {
    ("A", "easy"): [0.10, 0.11, 0.135],
    ("A", "hard"): [0.5, 0.5, 0.5],
    ("B", "easy"): [0.04, 0.03, 0.035],
    ("B", "hard"): [0.001, None, 0.003],
    ("nothing", "easy"): [1.0],
    ("exact", "easy"): [1e-7],
}


def test_means_spreads_and_verdicts(tmp_path, table):
    report, _ = made(tmp_path, table, "paper", VALUES)
    by = {(r.cell.row.name, r.cell.column.name): r for r in report.results}
    a = by["A", "easy"]
    assert a.mean == pytest.approx(11.5)
    assert a.std == pytest.approx(1.8027756)  # divided by n - 1
    assert (a.seeds, a.seconds) == ((0, 1, 2), 3.0)
    assert a.verdict == "reproduced"  # 1.5 off, 2 x 1 allowed
    assert by["B", "easy"].verdict == "short by 1 %"  # 1 off, 10 % of 2.5 allowed
    assert by["B", "hard"].verdict == "better"  # .2 against .5 +- .1 x 2
    assert (by["B", "hard"].seeds, by["B", "hard"].mean) == ((0, 2), pytest.approx(0.2))
    assert by["A", "hard"].verdict == by["nothing", "easy"].verdict == "nothing reported"
    assert by["exact", "hard"].verdict == "missing"
    assert (by["exact", "easy"].std, by["exact", "hard"].mean) == (None, None)


def test_a_number_of_another_budget_is_never_judged(tmp_path, table):
    for i, (budget, extra) in enumerate([("desk", ()), ("paper", ("pinn.beta=2",))]):
        report, _ = made(tmp_path / str(i), table, budget, VALUES, extra)
        assert not report.comparable
        assert {r.verdict for r in report.results if r.cell.reported} == {"not comparable"}
        assert "not the paper's budget: obtained numbers are not comparable" in render.as_markdown(report)
    report, _ = made(tmp_path / "paper", table, "paper", VALUES, ("track.mode=disabled",))
    assert report.comparable
    assert "not comparable" not in render.as_markdown(report)


def test_the_widest_of_the_stated_tolerances_counts():
    assert Tolerance(std=2, relative=0.1).width(Reported(10, SOURCE, 3)) == 6
    assert Tolerance(std=2, relative=0.1).width(Reported(-100, SOURCE, 3)) == 10
    assert Tolerance(std=2, absolute=0.5).width(Reported(10, SOURCE)) == 0.5
    assert str(Tolerance(std=2, relative=0.1)) == "2 reported standard deviations or 10 % of the reported value"


def test_higher_is_better_where_the_metric_says_so(tmp_path):
    tree = changed("metric", "better", "higher")
    report, _ = made(tmp_path, parse("doe2020x/main", tree), "paper", VALUES)
    by = {(r.cell.row.name, r.cell.column.name): r.verdict for r in report.results}
    assert (by["B", "easy"], by["B", "hard"]) == ("better", "short by 0.3 %")
    assert report.orderings[0].methods == ("A", "B")
    assert [(m.cell.row.name, f.cell.row.name) for m, f in report.below_floor] == [("A", "nothing"), ("B", "nothing")]


def test_the_ordering_and_its_bootstrap_probability(tmp_path, table):
    report, _ = made(tmp_path / "a", table, "paper", VALUES)
    (order,) = report.orderings  # of the column with two reported numbers
    assert (order.methods, order.kept, order.pairs, order.probability) == (("B", "A"), 1, 1, 1.0)
    # B: 1 or 3, A: always 2. B wins where a majority of its three draws is 1: of draws from {1, 3, 3},
    # P(2 or 3 ones) = 3 (1/3)^2 (2/3) + (1/3)^3 = 7/27.
    mixed = {("A", "easy"): [0.02, 0.02, 0.02], ("B", "easy"): [0.01, 0.03, 0.03]}
    report, _ = made(tmp_path / "b", table, "paper", mixed)
    (order,) = report.orderings
    assert order.kept == 0
    assert order.probability == pytest.approx(7 / 27, abs=0.03)
    assert "does not hold, 0 of its 1 pairs do; it holds with probability 0.2" in render.as_markdown(report)
    report, _ = made(tmp_path / "c", table, "paper", {("A", "easy"): [0.02], ("B", "easy"): [0.01]})
    (order,) = report.orderings
    assert (order.kept, order.probability) == (1, None)


def test_damaged_rows_are_named_and_never_averaged(tmp_path, table):
    _, folders = made(tmp_path, table, "paper", VALUES)
    torn, foreign, infinite = (folders["A", "easy", seed] for seed in (0, 1, 2))
    torn.row.write_text('{"experiment": "doe2020x/case", "met')
    foreign.row.write_text(foreign.row.read_text().replace('"seed": 1', '"seed": 7'))
    report = verdict.collect(table, "", table.budgets["paper"], (), cells(table, table.budgets["paper"]), folders)
    result = next(r for r in report.results if (r.cell.row.name, r.cell.column.name) == ("A", "easy"))
    assert (result.seeds, result.values) == ((2,), (pytest.approx(13.5),))
    assert f"{torn.row} is damaged" in report.damaged[0]
    assert f"{foreign.row} is damaged: it is the row of 0000000002-seed7" == report.damaged[1]
    infinite.row.write_text(infinite.row.read_text().replace("0.135", "Infinity"))
    with pytest.raises(UsageError, match="its metric 'err' is inf, not a number"):
        verdict.row_of(infinite)
    assert render.as_markdown(report).count("- left out: ") == 2


def test_a_metric_that_no_row_has_is_refused_with_the_cell(tmp_path):
    table = parse("doe2020x/main", changed("metric", "key", "eror"))
    with pytest.raises(UsageError) as caught:
        made(tmp_path, table, "paper", VALUES)
    place = "table/doe2020x/main.yaml: row 'nothing', column 'easy'"
    assert str(caught.value) == f"{place}: doe2020x/base files no metric eror; it has err"


def test_costs_are_printed_where_the_table_asks_for_them(tmp_path):
    table = parse("doe2020x/main", {**copy.deepcopy(TREE), "cost": ["network_evaluations", "flops"]})

    def cost(cell, seed):
        if cell.row.kind != "method":
            return {"flops": 0}
        return {"network_evaluations": 9.0 + seed, "flops": 1.25e9 if cell.row.name == "A" else 2.5}

    report, _ = made(tmp_path, table, "paper", VALUES, cost=cost)
    text = render.as_markdown(report)
    assert "| method | reported [%] | obtained [%] | seeds | network evaluations | flops | s/run | verdict |" in text
    assert "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |" in text
    assert "| A | 10 ± 1 | 11.5 ± 1.8 | 3 | 10 | 1250000000 | 3.0 | reproduced |" in text
    assert "| B | 0.5 ± 0.1 | 0.20 ± 0.14 | 2 of 3 | 10 | 2.50 | 3.0 | better |" in text
    assert "| nothing *(floor)* | - | 100 | 1 | - | 0 | 2.0 | - |" in text
    assert "| exact *(ceiling)* | - | - | 0 of 1 | - | - | - | missing |" in text
    cell = json.loads(render.as_json(report))[2]
    assert cell["costs"] == {"network_evaluations": 10.0, "flops": 1.25e9}
    line = list(csv.DictReader(io.StringIO(render.as_csv(report))))[2]
    assert (line["network_evaluations"], line["flops"], line["seconds_per_run"]) == ("10.0", "1250000000.0", "3.0")


def test_a_cost_that_a_method_does_not_file_is_refused_with_the_cell(tmp_path):
    table = parse("doe2020x/main", {**copy.deepcopy(TREE), "cost": ["network_evaluation"]})
    with pytest.raises(UsageError) as caught:
        made(tmp_path, table, "paper", VALUES, cost=lambda cell, seed: {"steps": 3, "network_evaluations": 9})
    place = "table/doe2020x/main.yaml: row 'A', column 'easy'"
    assert str(caught.value) == (
        f"{place}: doe2020x/case files no cost network_evaluation; it has steps, network_evaluations"
    )


def test_json_has_the_cells_and_csv_the_same_numbers(tmp_path, table):
    report, _ = made(tmp_path, table, "paper", VALUES)
    found = json.loads(render.as_json(report))
    assert len(found) == 8
    keys = (
        "row kind column metric unit better budget seeds values mean std reported source seconds_per_run costs verdict"
        " order"
    )
    assert all(list(cell) == keys.split() for cell in found)
    assert found[4] == {
        "row": "B", "kind": "method", "column": "easy", "metric": "err", "unit": "%", "better": "lower",
        "budget": "paper", "seeds": [0, 1, 2],
        "values": [4.0, 3.0, pytest.approx(3.5)], "mean": pytest.approx(3.5), "std": pytest.approx(0.5),
        "reported": {"mean": 2.5, "std": None}, "source": "Doe 2020, Table 7 (read)", "seconds_per_run": 3.0,
        "costs": {}, "verdict": "short by 1 %", "order": {"pairs": 1, "kept": 1, "probability": 1.0},
    }  # fmt: skip
    lines = list(csv.DictReader(io.StringIO(render.as_csv(report))))
    assert [line["row"] for line in lines] == [cell["row"] for cell in found]
    assert (lines[4]["seeds"], lines[4]["reported_mean"], lines[4]["unit"]) == ("0 1 2", "2.5", "%")
    assert float(lines[4]["mean"]) == found[4]["mean"]


def test_markdown_and_text_say_all_that_a_reader_must_know(tmp_path, table):
    report, _ = made(tmp_path, table, "paper", {**VALUES, ("A", "easy"): [1.0, 1.2, 1.1]})
    text = render.as_markdown(report)
    assert "| B | 0.5 ± 0.1 | 0.20 ± 0.14 | 2 of 3 | 3.0 | better |" in text
    assert "| nothing *(floor)* | - | 100 | 1 | 2.0 | - |" in text
    assert "| exact *(ceiling)* | - | 1.00e-05 | 1 | 2.0 | - |" in text
    assert "- no better than the floor (nothing, easy): A\n" in text
    assert "- budget paper: many steps\n" in text
    assert "metric: error [%], lower is better; as it says" in text
    assert "reported: Doe 2020, Table 7 (read)" in text
    assert "budget paper: trainer.max_steps=1000; seeds 0 1 2" in text
    shown = printed(report, 200)
    rows = [re.split("  +", line.strip()) for line in shown.splitlines()]
    assert ["B", "0.5 ± 0.1", "0.20 ± 0.14", "2 of 3", "3.0", "better"] in rows
    assert ["exact (ceiling)", "-", "-", "0 of 1", "-", "missing"] in rows
    for line in ("reproduced: within 2 reported standard deviations", "order in the paper, easy: B < A", "hard"):
        assert line in shown


def printed(report, width):
    console = Console(file=io.StringIO(), width=width)
    as_text(report, console, wrap=width < 100)
    return console.file.getvalue()


@pytest.mark.parametrize(("width", "beside"), [(71, True), (70, False), (20, False)])
def test_numbers_and_words_stay_whole_however_narrow_the_terminal_is(tmp_path, width, beside):
    tree = copy.deepcopy(TREE)
    tree["rows"][2]["name"] = "B with a name of many words"
    values = {(tree["rows"][2]["name"] if key[0] == "B" else key[0], key[1]): v for key, v in VALUES.items()}
    report, _ = made(tmp_path, parse("doe2020x/main", tree), "paper", values)
    lines = printed(report, width).splitlines()
    numbers = "0.5 ± 0.1  0.20 ± 0.14  2 of 3    3.0  better"
    (place,) = (i for i, line in enumerate(lines) if line.endswith(numbers))
    if beside:
        assert (lines[place - 1].strip(), lines[place].removesuffix(numbers).strip()) == (
            "B with a name of",
            "many words",
        )
        assert max(map(len, lines)) <= width
    else:
        assert lines[place].strip() == numbers
        assert " ".join(lines[place - 2 : place]).split()[-7:] == tree["rows"][2]["name"].split()


def test_a_number_may_have_a_source_of_its_own(tmp_path):
    tree = copy.deepcopy(TREE)
    tree["rows"][1]["source"] = {"where": "Table 9, row A"}
    tree["rows"][2]["reported"][1]["source"] = {"text": "Roe 2021", "known": "second-hand"}
    report, _ = made(tmp_path, parse("doe2020x/main", tree), "paper", VALUES)
    found = {(cell["row"], cell["column"]): cell["source"] for cell in json.loads(render.as_json(report))}
    assert found["A", "easy"] == "Doe 2020, Table 9, row A (read)"
    assert found["B", "easy"] == "Doe 2020, Table 7 (read)"
    assert found["B", "hard"] == "Roe 2021, Table 7 (second-hand)"
    assert found["A", "hard"] is None, "nothing is reported there"
    assert [line for line in render.above(report) if line.startswith("reported")] == [
        "reported: Doe 2020, Table 7 (read)",
        "reported, A: Doe 2020, Table 9, row A (read)",
        "reported, B (hard): Roe 2021, Table 7 (second-hand)",
    ]


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        (1.4321, 0.2032, "1.43 ± 0.20"), (107.512, 10.93, "108 ± 11"), (118.4, None, "118"), (0.0213, None, "0.0213"),
        (3.2e-7, 1.1e-8, "(3.20 ± 0.11)e-07"), (4e-7, 1.2e-6, "(0.4 ± 1.2)e-06"),
        (-2.5e6, 3e4, "(-2.500 ± 0.030)e+06"), (0.0, None, "0"), (0.0, 0.0, "0 ± 0"), (1.5, 1e-9, "1.500 ± 0.000"),
        (2.5, 0.0, "2.50 ± 0.00"), (-3.21, 0.5, "-3.21 ± 0.50"),
    ],
)  # fmt: skip
def test_numbers_have_the_digits_their_spread_allows(mean, std, text):
    assert render.number(mean, std) == text


RUN = {
    "experiment": "doe2020x/case",
    "choices": {"pinn/points": "a", "network": "mlp", "optimizer": "soap"},
    "cost": {"steps": 10},
}
CONFIG = {"pinn": {"beta": 1.0}, "trainer": {"max_steps": 10}}


def test_a_run_learns_what_the_paper_reports_for_it(where):
    assert reported(RUN, CONFIG, where) == [
        "10 ± 1 % error, budget paper, Doe 2020, Table 7 (read); this run: budget desk, 10 steps"
    ]
    other = {**RUN, "choices": {**RUN["choices"], "pinn/points": "b"}}
    hard = {"pinn": {"beta": 5}, "trainer": {"max_steps": 99}}
    assert reported(other, hard, where) == [
        "0.5 ± 0.1 % error, budget paper, Doe 2020, Table 7 (read); this run: 10 steps"
    ]


@pytest.mark.parametrize(
    ("row", "tree"),
    [
        (RUN, {**CONFIG, "pinn": {"beta": 2}}),  # no such column
        (RUN, {**CONFIG, "pinn": {"beta": 5}}),  # a number that nobody has read
        ({**RUN, "choices": {**RUN["choices"], "pinn/points": "c"}}, CONFIG),  # no such row
        ({**RUN, "choices": {**RUN["choices"], "network": "big"}}, CONFIG),  # a group that no cell names was changed
        ({**RUN, "experiment": "doe2020x/other"}, CONFIG),
        ({**RUN, "experiment": "roe2021/case"}, CONFIG),
        ({**RUN, "experiment": "doe2020x/base"}, {"base": {"predict": "mean"}, "pinn": {"beta": 1}}),  # a floor
    ],
)
def test_nothing_is_said_about_a_run_that_the_paper_does_not_have(where, row, tree):
    assert reported(row, tree, where) == []


def test_the_row_that_says_most_about_a_run_is_meant(where):
    tree = copy.deepcopy(TREE)
    tree["rows"][2]["overrides"] = ["pinn/points=a", "pinn.causal=true"]
    (where[0] / "table/doe2020x/main.yaml").write_text(yaml.safe_dump(tree))
    (line,) = reported(RUN, {**CONFIG, "pinn": {"beta": 1, "causal": True}}, where)
    assert line.startswith("2.5 % error")
    (line,) = reported(RUN, {**CONFIG, "pinn": {"beta": 1, "causal": False}}, where)
    assert line.startswith("10 ± 1 % error")


def test_of_budgets_that_fit_a_run_the_one_that_says_most_is_named(where):
    tree = changed("budgets", "paper", "overrides", ["trainer.max_steps=10"])
    (where[0] / "table/doe2020x/main.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    assert reported(RUN, CONFIG, where)[0].endswith("this run: budget desk, 10 steps")
    adam = {**RUN, "choices": {**RUN["choices"], "optimizer": "adam"}}
    assert reported(adam, CONFIG, where)[0].endswith("this run: budget paper, 10 steps")


def test_a_broken_table_file_does_not_fail_a_run(where, caplog):
    (where[0] / "table/doe2020x/broken.yaml").write_text("title: 3")
    with caplog.at_level(logging.WARNING, "sciml"):
        assert len(reported(RUN, CONFIG, where)) == 1
    assert caplog.messages == ["table/doe2020x/broken.yaml: paper is missing"]


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("a.lr=3e-3", True), ("a.lr=0.004", False), ("a.none=null", True), ("a.flag=true", True), ("a.flag=1", False),
        ("a.list=[1,2e-3]", True), ("a.list=[1]", False), ("a.items.1=y", True), ("a.word=x", True),
        ("+a.gone=1", False), ("~a.gone", True), ("~a.word", False), ("net=mlp", True), ("net=cnn", False),
        ("g/slot=one", True),
        ("g/other=one", False), ("optimizer=null", True),
    ],
)  # fmt: skip
def test_overrides_are_held_against_a_finished_run(override, answer):
    tree = {
        "a": {"lr": 0.003, "none": None, "flag": True, "list": [1, 0.002], "items": ["x", "y"], "word": "x"},
        "optimizer": None,
    }
    assert agrees(override, {"net": "mlp", "g/slot": "one"}, tree) is answer


def test_the_tables_of_the_package_are_sound():
    found = names(places())
    assert "daw2023r3/convection" in found
    for name in found:
        table = load(name, places())
        # A source that points at numbers gives some; "figures only" or "no number" gives none.
        points = "Table" in table.source.where or "read off" in table.source.where
        assert points == any(reported for row in table.rows for reported in row.reported), name


def test_a_table_without_reported_numbers_says_so(tmp_path, table):
    rows = tuple(replace(row, reported=tuple(None for _ in row.reported)) for row in table.rows)
    report, _ = made(tmp_path, replace(table, rows=rows), "paper", VALUES)
    assert "reported: nothing (Doe 2020: Table 7)" in render.as_markdown(report)

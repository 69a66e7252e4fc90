"""What `discover`, `locate`, `emerge` and `graft` are given and show, without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from circuits.knockout import window_of
from interleaf.v1 import circuits_pb2 as pb
from service.cli import circuits_show as shown
from service.cli.circuits_many import _questions, _value, many_app

HOSTILE = "[red]x[/red]\x1b[31m"


def text(what: RenderableType) -> str:
    console = Console(width=200, record=True)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


def test_pairs_fill_a_template() -> None:
    found, held = _questions("{} is in", ["Rome=Italy", "Oslo=Norway"], ["Bonn=Germany"], None, "")
    assert [(probe.prompt, probe.subject, probe.object) for probe in found] == [
        ("Rome is in", "Rome", "Italy"),
        ("Oslo is in", "Oslo", "Norway"),
    ]
    assert [probe.subject for probe in held] == ["Bonn"]
    for template, pairs in (("no place", ["a=b"]), ("{} is", None), ("{} is", ["ab"]), ("{} is", ["=b"])):
        with pytest.raises(typer.BadParameter):
            _questions(template, pairs, None, None, "")


def test_questions_come_from_a_file_and_every_second_is_held_out(tmp_path: Path) -> None:
    items = [
        {
            "prompt": f"{at} is",
            "subject": str(at),
            "object": "x",
            "relation": "a" if at % 2 else "b",
            "right": at > 1,
        }
        for at in range(8)
    ]
    file = tmp_path / "probes.json"
    for data in (items, {"file": "kept", "probes": items}):
        file.write_text(json.dumps(data))
        found, held = _questions("", None, None, file, "a")
        assert [probe.subject for probe in found] == ["3", "7"]
        assert [probe.subject for probe in held] == ["5"]
    with pytest.raises(typer.BadParameter, match="a, b"):
        _questions("", None, None, file, "c")
    for broken in ("{", "[1]", '[{"right": true}]'):
        file.write_text(broken)
        with pytest.raises(typer.BadParameter, match="holds no probes"):
            _questions("", None, None, file, "a")


def test_a_check_says_which_of_both_answers_is_ahead() -> None:
    behind, ahead = (pb.HallucinationReport(needed={"gap": gap}) for gap in (1.5, -6.66))
    assert "the truth lacked 1.50 logits" in text(shown.report(behind))
    assert "the truth lies 6.66 logits above the answer" in text(shown.report(ahead))


def test_a_knockout_shows_the_layers_that_were_knocked_out() -> None:
    layers, window, worst = 30, 9, (0, 14, 29)
    curves = [
        pb.KnockoutCurve(what="x", relative=[-1.0 if at == each else 0.0 for at in range(layers)])
        for each in worst
    ]
    found = pb.KnockoutStudy(window=window, edges=curves, sublayers=curves)
    lines = [line.split() for line in text(shown.knockout(found)).splitlines() if line.startswith("x ")]
    around = [window_of(each, window, layers) for each in worst]
    onwards = [range(each, min(each + window, layers)) for each in worst]
    assert [line[1] for line in lines] == ["0-4", "10-18", "25-29", "0-8", "14-22", "29"]
    for line, whole in zip(lines, (*around, *onwards), strict=True):
        ends = line[1].split("-")
        assert (int(ends[0]), int(ends[-1])) == (whole[0], whole[-1])


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        (["discover"], "--nodes", "0"),
        (["discover"], "--edges", "0"),
        (["discover"], "--nodes", "nan"),
        (["emerge", "x"], "--threshold", "0"),
        (["emerge", "x"], "--threshold", "-1"),
        (["graft"], "--learning-rate", "0"),
    ],
)
def test_a_number_that_would_mean_the_default_is_refused(command: list[str], option: str, value: str) -> None:
    ran = CliRunner(env={"COLUMNS": "200"}).invoke(many_app, [*command, option, value])
    assert (ran.exit_code, "must be more than 0" in ran.output) == (2, True)
    assert CliRunner().invoke(many_app, ["locate", "--per-layer", "0"]).exit_code == 2


def test_names_of_enums_are_the_apis() -> None:
    assert _value(pb.Ablation, "ABLATION", "resample", "--ablation") == pb.ABLATION_RESAMPLE
    assert _value(pb.EdgeScore, "EDGE_SCORE", "", "--score") == pb.EDGE_SCORE_UNSPECIFIED
    with pytest.raises(typer.BadParameter, match="eap, eap_ig, eap_ig_edges"):
        _value(pb.EdgeScore, "EDGE_SCORE", "unspecified", "--score")


def test_results_are_shown_as_what_they_are() -> None:
    study = pb.CircuitStudy(nodes=3, all_nodes=30, edges=2, all_edges=400, judged=5, held_out=True)
    study.kept_edges.add(source="L0H1", port="MLP2", score=-0.5)
    said: list[tuple[RenderableType, Any]] = [
        (shown.circuit(study), ("3 of 30 nodes (10.0%)", "L0H1", "-0.500", "5 questions held out")),
        (
            shown.located(
                pb.LocatedHeads(heads=[{"head": {"layer": 4, "head": 2}, "chosen": True}], judged=2)
            ),
            ("L4H2", "that they were found with"),
        ),
        (
            shown.emergence(
                pb.EmergenceStudy(answer=HOSTILE, heads=[{"head": {"layer": 1}, "enters_injected": True}])
            ),
            ("[red]x[/red]", "L1H0", "injected"),
        ),
        (
            shown.grafting(
                pb.GraftingStudy(
                    outcomes=[{"scheme": "fe_lt", "top5": 0.5}], losses=[2, 1], left_out=3, facts=7
                )
            ),
            ("fe_lt", "50%", "3 facts left out", "loss 2.00 to 1.00"),
        ),
    ]
    for what, expected in said:
        printed = text(what)
        assert "\x1b[31m" not in printed
        for words in expected:
            assert words in printed

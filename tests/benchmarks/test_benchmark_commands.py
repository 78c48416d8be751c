"""The two commands, and the clock behind them."""

import json
import time

import pytest
import torch

from benchmarks import bookkeeping, evaluate, kernels, limit, memory, processes, step
from benchmarks.textbook import textbook_step
from benchmarks.timing import Machine, Spread, compare, threads
from fairnas.errors import ConfigError
from fairnas.nets import cost_table
from fairnas.space import get_space

TINY_STEP = ("--space", "digits", "--batch", "4", "--threads", "1")
TINY_EVALUATE = (
    "--spos-spaces",  # none
    "--populations",
    "random",
    "evolved",
    "--space",
    "digits",
    "--population",
    "4",
    "--images",
    "8",
    "--threads",
    "1",
)


@pytest.mark.slow
def test_step_prints_one_json_object(capsys):
    assert step.main([*TINY_STEP, "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["ratio"] > 0
    assert result["processor_ratio"] > 0
    assert result["user_ratio"] > 0
    low, high = result["ratio_quartiles"]
    assert low <= result["ratio"] <= high
    assert result["repeats"] == 5
    assert result["settings"].pop("execution").startswith("sequential: ")
    assert result["settings"] == {
        "space": "digits", "layers": 8, "paths": 6, "image_size": 8, "batch": 4, "seed": 0,
        "device": "cpu", "precision": "float32",
    }  # fmt: skip
    assert result["path_images_per_s"]["project"] > 0
    assert result["machine"]["threads"] == 1
    assert result["machine"]["torch"] == torch.__version__
    assert "repeat 5/5, ratio " in printed.err


@pytest.mark.slow
@pytest.mark.full
def test_step_prints_lines_for_people(capsys):
    assert step.main(TINY_STEP) == 0
    printed = capsys.readouterr().out
    for part in ("times as fast as the textbook", "quartiles", "n = 5", "6 paths", "torch"):
        assert part in printed


@pytest.mark.slow
def test_evaluate_prints_one_json_object(capsys):
    assert evaluate.main([*TINY_EVALUATE, "--textbook-genomes", "3", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["populations"]) == {"random", "evolved"}
    for found in result["populations"].values():
        assert found["ratio"] > 0
        assert found["layer_factor"] >= 1
        assert found["hits_that_differ"] == 0
        assert (found["genomes"], found["textbook_genomes"], found["images"]) == (4, 3, 8)
    assert result["machine"]["threads"] == 1


@pytest.mark.slow
@pytest.mark.full
def test_evaluate_prints_lines_for_people(capsys):
    assert evaluate.main([*TINY_EVALUATE, "--textbook-genomes", "0"]) == 0
    printed = capsys.readouterr().out
    for part in ("random", "evolved", "layer runs instead of", "scored 4 of the genomes", "torch"):
        assert part in printed


@pytest.mark.parametrize(("full", "count"), [(False, 441), (True, 3969)])
def test_evaluate_takes_a_subtree_or_all_of_nas_bench_macro(full, count):
    chosen = evaluate.populations(evaluate.EvaluateBenchmark(full=full))
    assert [each.name for each in chosen] == ["random", "evolved", "macro"]
    assert [len(each.genomes) for each in chosen] == [64, 64, count]


@pytest.mark.parametrize("command", [step, evaluate])
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as end:
        command.main(["--help"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    name = command.__name__
    assert f"python -m {name} --threads 1" in printed
    assert "--json" in printed


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (step, ["--repeats", "4"], "benchmarks.step: repeats is 4; give 5 or more, so that the spread can be seen"),
        (step, ["--batch", "1"], "benchmarks.step: batch is 1; give 2 or more, because BN needs a variance"),
        (step, ["--threads", "0"], "benchmarks.step: threads is 0; give 1 or more"),
        (step, ["--space", "digit"], "benchmarks.step: unknown space 'digit'; did you mean 'digits'?"),
        (evaluate, ["--repeats", "0"], "benchmarks.evaluate: repeats is 0; give 5 or more"),
        (evaluate, ["--images", "0"], "benchmarks.evaluate: images is 0; give 1 or more"),
        (evaluate, ["--textbook-genomes", "-1"], "benchmarks.evaluate: textbook_genomes is -1; give 0 or more"),
    ],
)
def test_wrong_input_is_one_line(command, arguments, message, capsys):
    assert command.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(message)
    assert printed.err.count("\n") == 1


def test_compare_takes_turns_and_gives_the_textbooks_time_over_the_projects():
    calls = []
    found = compare(
        lambda: (calls.append("project"), time.sleep(0.002)),
        lambda: (calls.append("textbook"), time.sleep(0.02)),
        repeats=6,
        on_repeat=lambda done, ratio: calls.append(str(done)),
    )
    assert calls == [call for done in range(1, 7) for call in ("project", "textbook", str(done))]
    assert 1 < found.ratio.median < 11
    assert found.project_s.median < found.textbook_s.median
    assert found.to_dict()["ratio_quartiles"] == [found.ratio.low, found.ratio.high]


def test_compare_scales_the_textbooks_time():
    found = compare(lambda: time.sleep(0.005), lambda: time.sleep(0.005), repeats=5, scale=100)
    assert found.ratio.median > 20
    assert found.textbook_s.median > 0.4


def test_spread_is_median_and_quartiles():
    assert Spread.of([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(3.0, 2.0, 4.0)


def test_threads_are_given_back():
    with threads(2):
        with threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with threads(None):
            assert torch.get_num_threads() == 2
    with pytest.raises(ConfigError, match="threads is 0"), threads(0):
        pass


def test_the_machine_has_a_name():
    line = str(Machine.here())
    assert Machine.here().processor
    assert f"torch {torch.__version__}" in line
    assert f"{torch.get_num_threads()} threads" in line


@pytest.mark.slow
def test_a_step_that_computes_something_else_is_not_timed(monkeypatch):
    monkeypatch.setattr(step, "textbook_step", lambda *_: 1.0)
    with pytest.raises(AssertionError, match="they don't compute the same"):
        step.main(TINY_STEP)


@pytest.mark.slow
def test_a_step_with_another_gradient_is_not_timed(monkeypatch):
    def wrong(supernet, images, labels, paths, optimizer):
        loss = textbook_step(supernet, images, labels, paths, optimizer)
        kernels = [weight for weight in supernet.parameters() if weight.dim() == 4]
        kernels[-1].grad.neg_()
        return loss

    monkeypatch.setattr(step, "textbook_step", wrong)
    with pytest.raises(AssertionError, match=r"gradients of head\.expand\.0\.weight differ by 2 of their norm"):
        step.main(TINY_STEP)


@pytest.mark.slow
@pytest.mark.full
def test_a_step_of_16_bits_is_checked_in_double_and_timed(capsys):
    assert step.main([*TINY_STEP, "--precision", "bfloat16", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["settings"]["precision"] == "bfloat16"
    assert result["ratio"] > 0
    assert 0 < result["gradient_error"] < 10


@pytest.mark.parametrize("precision", ["float32", "double"])
def test_the_worst_gradient_error_is_found(precision):
    ours, theirs = (torch.nn.Conv2d(1, 1, 2, bias=False) for _ in range(2))
    ours.weight.grad = torch.tensor([[[[3.0, 4.0], [0.0, 0.0]]]])
    theirs.weight.grad = torch.tensor([[[[3.0, 4.0], [0.0, 0.0]]]])
    assert step.require_equal_gradients(ours, theirs, precision) == 0
    ours.weight.grad *= 1 + step.GRADIENT_TOLERANCE[precision] * 1.1
    with pytest.raises(AssertionError, match="gradients of weight differ by"):
        step.require_equal_gradients(ours, theirs, precision)


def test_an_evaluation_that_finds_something_else_is_not_timed(monkeypatch):
    monkeypatch.setattr(evaluate, "textbook_top1", lambda supernet, genomes, batches: [2.0] * len(genomes))
    with pytest.raises(AssertionError, match=r"differ by \d+ hits; 0 can be ties"):
        evaluate.main(TINY_EVALUATE)


def test_ties_are_few():
    top1 = [0.5] * 100
    assert evaluate.require_equal(top1, top1, images=200) == 0
    assert evaluate.require_equal(top1, [0.505, *top1[1:]], images=200) == 1  # of 20,000 decisions, 2 can be ties
    with pytest.raises(AssertionError, match="differ by 3 hits; 2 can be ties"):
        evaluate.require_equal(top1, [0.515, *top1[1:]], images=200)


@pytest.mark.slow
@pytest.mark.full
def test_processes_prints_one_json_object(capsys):
    assert processes.main(["--space", "digits", "--batch", "6", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    low, high = result["ratio_quartiles"]
    assert 0 < low <= result["ratio"] <= high
    assert (result["path_processes"], result["image_processes"], result["repeats"]) == (2, 1, 5)
    assert processes.main(["--space", "digits", "--path-processes", "7"]) == 2
    assert "but a step of 'strict' has 6 paths" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.full
def test_limit_counts_the_multiply_adds_of_a_step_and_is_below_what_is_measured(capsys):
    assert limit.main(["--space", "digits", "--batch", "8", "--threads", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    space = get_space("digits")
    table = cost_table(space)
    classifier = 6 * 64 * 10  # the only linear layer, once per path, is not counted
    stem_and_heads = (
        sum(  # what the cost table calls fixed: the stem is run once, the head on every path
            each.madds for each in limit.step_operations(space) if each.name == "3x3 forward"
        )
        + 6 * 64 * 16 * 4 * 4
    )
    forward = sum(cost.madds for row in table.blocks for cost in row) + stem_and_heads
    assert result["madds"] == 8 * 3 * forward
    assert table.fixed.madds == stem_and_heads - 5 * 64 * 16 * 4 * 4 + classifier / 6
    assert result["times_the_limit"] > 1
    assert sum(share["limit_s"] for share in result["operations"].values()) == pytest.approx(result["limit_s"])


@pytest.mark.slow
@pytest.mark.full
def test_memory_puts_the_executors_beside_the_largest_network(capsys):
    assert memory.main(["--space", "digits", "--batch", "8", "--json"]) == 0
    peaks = json.loads(capsys.readouterr().out)["peak_bytes"]
    assert list(peaks) == ["largest single network", "sequential", "lockstep", "lockstep, saving memory"]
    assert peaks["sequential"] < peaks["lockstep"]


@pytest.mark.slow
@pytest.mark.full
def test_the_protocol_of_spos_beside_the_tree(capsys):
    flags = [*TINY_EVALUATE, "--calibration", "8", "--recalibrated", "--textbook-genomes", "2", "--json"]
    assert evaluate.main(flags) == 0
    found = json.loads(capsys.readouterr().out)["populations"]["random"]
    assert (found["calibration"], found["recalibrated"]) == (8, True)
    assert evaluate.main([*TINY_EVALUATE, "--recalibrated"]) == 2
    assert "recalibrated needs images: calibration is 0; give 2 or more" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.full
def test_both_sides_follow_the_protocol_of_spos_by_default(capsys):
    assert evaluate.EvaluateBenchmark().spos_spaces == ("shufflenet_v2", "proxyless_32")
    small = ("--spos-calibration", "6", "--spos-images", "4", "--spos-genomes", "2", "--threads", "1")
    assert evaluate.main(["--populations", "--spos-spaces", "digits", *small, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["populations"] == {}
    rows = result["spos"]["digits"]
    assert {name: row["genomes"] for name, row in rows.items()} == {"random": 8, "evolved": 64}
    for row in rows.values():
        assert row["recalibrated"]
        assert (row["calibration"], row["images"], row["hits_that_differ"]) == (6, 4, 0)
        assert row["processor_ratio"] > 0
    assert any("digits evolved" in line for line in evaluate.described(result))


@pytest.mark.slow
@pytest.mark.full
def test_bookkeeping_prints_one_json_object(capsys):
    flags = ("--searchers", "random", "nsga2", "--space", "digits", "--population", "8", "--generations", "3")
    assert bookkeeping.main([*flags, "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["layers"] == 8
    for name in ("random", "nsga2"):
        found = result["searchers"][name]
        assert found["candidates"] == 24
        assert found["ms_per_candidate"] > 0
        assert f"bookkeeping {name}: " in printed.err
    assert bookkeeping.main(["--searchers", "nsga3"]) == 2
    assert "did you mean 'nsga2'?" in capsys.readouterr().err


@pytest.mark.slow
def test_kernels_times_ours_beside_torchs(capsys, monkeypatch):
    monkeypatch.setattr(kernels, "SHAPES", (kernels.Shape(64, 32, 5, 1, 8), kernels.Shape(64, 32, 3, 2, 8)))
    assert kernels.main(["--images", "4", "--threads", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    norm = ["BN and activation, forward", "BN and activation, backward"]
    gradients = ["depthwise gradient of the input", "depthwise gradient of the weight"]
    assert [row["operation"] for row in result["rows"]] == [*gradients, *norm, *norm]  # at kernel 3 torch's are as fast
    assert all(row["ratio"]["median"] > 0 and row["copy_ms"] > 0 for row in result["rows"])
    assert kernels.main(["--images", "4", "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert "64 channels, 32 x 32, kernel 5, stride 1, 4 images: a copy takes" in printed
    assert printed.count("times as fast as torch's") == 6
    assert kernels.main(["--repeats", "2"]) == 2
    assert "give 5 or more" in capsys.readouterr().err

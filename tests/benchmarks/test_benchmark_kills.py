"""The benchmark that kills runs: its moments are in every stage, and it says what it cannot do."""

from benchmarks.kills import PER_RUN, STAGES, main, planned_moments

LENGTHS = {stage: 2.0 + number for number, stage in enumerate(STAGES)}


def test_moments_are_in_every_stage_in_order_and_those_of_the_seed():
    plans = [planned_moments(3, number, LENGTHS) for number in range(20)]
    assert plans == [planned_moments(3, number, LENGTHS) for number in range(20)]
    assert plans != [planned_moments(4, number, LENGTHS) for number in range(20)]
    assert all(len(plan) == PER_RUN for plan in plans)
    assert all([stage for stage, _ in plan] == sorted(stage for stage, _ in plan) for plan in plans)
    assert all(0 <= seconds < LENGTHS[STAGES[stage]] for plan in plans for stage, seconds in plan)
    counts = [sum(stage == number for plan in plans for stage, _ in plan) for number in range(len(STAGES))]
    assert min(counts) >= 10  # of 200


def test_wrong_input_is_one_line(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "a"), "--kills", "0"]) == 2
    assert capsys.readouterr().err == "benchmarks.kills: --kills is 0; give 1 or more\n"
    assert not (tmp_path / "a").exists()
    (tmp_path / "kills.json").write_text('{"seed": 1, "stages": {}, "kills": [], "compared": [], "seconds": 0}')
    assert main(["--out", str(tmp_path), "--kills", "3"]) == 2
    assert "kills.json is of --seed 1; give that, or another --out" in capsys.readouterr().err

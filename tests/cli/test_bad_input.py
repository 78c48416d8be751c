"""Wrong input: exit code 2, one line that says what was given and what to do, and nothing written."""

import os

import pytest

WRONG = {
    "verb": (["trian"], "unknown verb 'trian'; did you mean 'train'?"),
    "recipe": (["run", "digitz"], "unknown recipe 'digitz'; did you mean 'digits'?"),
    "no recipe": (["run"], "needs a recipe (digits"),
    "space": (["run", "digits", "--space", "digit"], "unknown space 'digit'; did you mean 'digits'?"),
    "space of a genome": (["describe", "proxylss", "0"], "unknown space 'proxylss'; did you mean 'proxyless'?"),
    "genome too short": (["describe", "digits", "012"], "genome '012' has 3 choices; space 'digits' has 8 layers"),
    "impossible choice": (["describe", "digits", "01234567"], "takes choice 6 in layer 6"),
    "no genome": (["describe", "digits", "0123450!"], "holds '!'"),
    "flag": (["run", "digits", "--trian.lr", "1"], "unknown option --trian.lr; did you mean --train.lr?"),
    "negative rate": (["run", "digits", "--train.lr", "-1"], "train.lr is -1.0; give a number above 0"),
    "zero epochs": (["run", "digits", "--train.epochs", "0"], "train.epochs is 0; give 1 or more"),
    "negative size": (["run", "digits", "--data.image-size", "-8"], "data.image_size is -8; give 1 or more"),
    "no number": (
        ["run", "digits", "--train.epochs", "many"],
        "fairnas: --train.epochs is 'many'; give a whole number",
    ),
    "no number, or none": (["run", "digits", "--minutes", "soon"], "fairnas: --minutes is 'soon'; give a number"),
    "no value": (["run", "digits", "--train.lr"], "fairnas: --train.lr needs a value"),
    "a word too many": (["run", "digits", "again"], "fairnas: again: too many arguments"),
    "no objective": (["run", "digits", "--search.objectives"], "fairnas: search.objectives is empty; give one or more"),
    "no genome given": (["describe", "digits"], "fairnas: `fairnas describe` needs STR: One character of 0-9a-z"),
    "momentum": (["run", "digits", "--train.momentum", "2"], "train.momentum is 2.0; give a number from 0 to 1"),
    "strategy": (["run", "digits", "--train.strategy", "fair"], "unknown strategy 'fair'"),
    "searcher": (["run", "digits", "--search.searcher", "nsga3"], "did you mean 'nsga2'?"),
    "augmentation": (
        ["run", "digits", "--data.augmentation", "flip"],
        "fairnas: --data.augmentation is 'flip'; give one of 'none'",
    ),
    "bound out of reach": (["run", "digits", "--max-madds", "1k"], "the smallest network of space 'digits' has"),
    "bound that is no quantity": (["run", "digits", "--max-madds", "lots"], "'lots' is not a quantity"),
    "data that does not exist": (["run", "digits", "--data", "folder:/no/such/place"], "/no/such/place"),
    "folder without data": (["run", "folder"], "needs --data folder:PATH"),
    "unknown data": (["run", "digits", "--data", "mnist"], "mnist"),
    "no cifar": (["run", "cifar10", "--data.root", "/no/such/place"], "/no/such/place"),
    "image too small": (["run", "digits", "--space", "mobilenet_v2", "--data.image-size", "8"], "8 pixels are too few"),
    "carve too large": (["run", "digits", "--data.validation-per-class", "500"], "500"),
    "no configuration": (["run", "digits", "--config", "/no/such.toml"], "cannot read the configuration /no/such.toml"),
    "no run": (["audit", "--run", "nowhere"], "nowhere is not a run directory"),
    "no run to search": (["search", "--run", "nowhere"], "nowhere is not a run directory"),
    "no run given": (["rank"], "fairnas: `fairnas rank` needs --run PATH: The run directory"),
    "zoo": (["zoo", "fairnas_d"], "unknown network 'fairnas_d'; did you mean"),
    "no image": (["predict", "model.onnx"], "no image is given; give image files or folders of them"),
    "no model": (["predict", "nowhere.onnx", "a.png"], "there is no nowhere.onnx; give an ONNX file or a folder"),
    "no class wanted": (["predict", "model.onnx", "a.png", "--top", "0"], "--top is 0; give 1 or more"),
    "no thread": (["predict", "model.onnx", "a.png", "--threads", "0"], "--threads is 0; give 1 or more"),
    "two kinds of JSON": (["predict", "m.onnx", "a.png", "--json", "--json-lines"], "one for each image; give one of"),
    "a study of more networks than the search looks at": (
        ["run", "digits", "--search.population", "4", "--search.generations", "2", "--stand-alone.models", "9"],
        "stand_alone.models is 9, but a search of 2 generations of 4 looks at 8 networks at most",
    ),
    "a network twice in the study": (
        ["run", "digits", "--stand-alone.study", "00000000", "00000001", "00000000"],
        "00000000 and 00000000 are the same network",
    ),
    "no run to compare with": (["run", "digits", "--stand-alone.against", "nowhere"], "nowhere is not a run directory"),
    "no gpu": (["run", "digits", "--resources.device", "cuda"], "torch finds no CUDA GPU"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_one_line_and_nothing_written(arguments, message, fairnas, tmp_path, monkeypatch):
    import torch

    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    monkeypatch.chdir(tmp_path)
    outcome = fairnas(*arguments)
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1, outcome.err
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert os.listdir(tmp_path) == []


FILES = {
    "unknown key": ("[train]\nlearning_rate = 1\n", "unknown key 'train.learning_rate'"),
    "misspelt key": ("[train]\nepoch = 1\n", "did you mean 'train.epochs'?"),
    "wrong type": ("[train]\nepochs = '3'\n", "key 'train.epochs' = '3'"),
    "bad value": ("[search]\npopulation = 0\n", "search.population is 0; give 4 or more"),
    "not TOML": ("[train\n", "is not valid TOML"),
}


@pytest.mark.parametrize(("text", "message"), FILES.values(), ids=FILES.keys())
def test_configuration_files(text, message, fairnas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.toml").write_text(text)
    outcome = fairnas("run", "digits", "--config", "my.toml")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert message in outcome.err
    assert os.listdir(tmp_path) == ["my.toml"]


def test_a_file_sets_what_flags_do_not(fairnas, tmp_path, monkeypatch):
    from fairnas.cli.run import read_arguments

    (tmp_path / "my.toml").write_text("seed = 3\n[train]\nepochs = 7\nlr = 0.5\n")
    config = read_arguments(["digits", "--config", str(tmp_path / "my.toml"), "--train.lr", "0.25"], "run").config
    assert (config.seed, config.train.epochs, config.train.lr) == (3, 7, 0.25)
    assert config.recipe == "digits"
    assert config.space == "digits"


def test_our_own_fault_is_code_1_without_a_traceback_unless_asked(fairnas, monkeypatch):
    def broken(arguments):
        raise RuntimeError("a wheel came off")

    monkeypatch.setattr("fairnas.cli.spaces.main", broken)
    outcome = fairnas("spaces")
    assert outcome.code == 1
    assert outcome.err == "fairnas: our fault: RuntimeError: a wheel came off (--debug shows where)\n"
    with pytest.raises(RuntimeError, match="a wheel came off"):
        fairnas("spaces", "--debug")


@pytest.mark.parametrize(
    "verb",
    [
        ["predict", "{}/model.onnx", "a.png"],
        ["audit", "--run", "{}/run"],
        ["run", "digits", "--out", "{}/run"],
        ["run", "folder", "--data", "folder:{}/images"],
    ],
)
def test_a_folder_that_may_not_be_entered_is_one_line(fairnas, tmp_path, monkeypatch, verb):
    stat = os.stat

    def refuse(path, **options):  # rights mean nothing to an administrator
        if str(path).startswith(f"{tmp_path}/locked/"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", refuse)
    outcome = fairnas(*(word.format(tmp_path / "locked") for word in verb))
    assert outcome.code == 2
    assert outcome.err.startswith("fairnas: ")
    assert outcome.err.count("\n") == 1
    assert f"{tmp_path}/locked/" in outcome.err


def test_a_file_where_the_run_should_go_is_left_alone(fairnas, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("precious")
    outcome = fairnas("run", "digits", "--out", mine)
    assert outcome.code == 2
    assert "exists and is not a run directory" in outcome.err
    assert os.listdir(mine) == ["thesis.txt"]

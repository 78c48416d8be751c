"""The configuration: what it takes, what it refuses, and its TOML form."""

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.config import (
    ArchitectureConfig,
    ControllerConfig,
    DataConfig,
    EvaluateConfig,
    ExportConfig,
    HierarchyConfig,
    Resources,
    RetrainConfig,
    RewardConfig,
    RunConfig,
    SearchConfig,
    StandAloneConfig,
    TrainConfig,
)
from fairnas.configfile import differing_keys, from_toml, read_config, to_toml
from fairnas.errors import ConfigError
from fairnas.recipes import digits, get_recipe

COUNTS = st.integers(1, 2**53)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
POSITIVE = st.floats(0, exclude_min=True, allow_infinity=False, allow_nan=False)
FRACTIONS = st.floats(0, 1)

CONFIGS = st.builds(
    RunConfig,
    recipe=TEXTS,
    space=TEXTS,
    seed=st.integers(0, 2**64),
    width=st.floats(0.25, 4),
    minutes=st.none() | POSITIVE,
    data=st.builds(
        DataConfig,
        name=TEXTS,
        root=st.none() | TEXTS,
        image_size=st.none() | COUNTS,
        validation_per_class=COUNTS,
        train_per_class=st.none() | COUNTS,
        test_per_class=st.none() | COUNTS,
        held_out_per_class=st.none() | COUNTS,
        augmentation=st.sampled_from(("none", "shift", "crop_flip", "inception")),
        crop=st.sampled_from(("auto", "none", "shift", "padded", "resized")),
        flip=st.sampled_from(("auto", "none", "horizontal", "vertical", "both")),
        rotate=st.sampled_from(("none", "quarter")),
        colour=FRACTIONS,
    ),
    train=st.builds(
        TrainConfig,
        strategy=TEXTS,
        epochs=COUNTS,
        batch_size=st.integers(2, 10**6),
        lr=POSITIVE,
        momentum=FRACTIONS,
        weight_decay=FRACTIONS,
        shared_gradient=st.sampled_from(("sum", "mean")),
        lr_scale=POSITIVE,
        idle_blocks=st.sampled_from(("rest", "momentum", "decay", "both")),
        k=st.none() | COUNTS,
        accumulate=st.booleans(),
        path_dropout=st.none() | FRACTIONS,
        bn_affine=st.booleans(),
        bn_momentum=FRACTIONS,
        clip_norm=st.none() | POSITIVE,
        precision=st.sampled_from(("float32", "bfloat16")),
    ),
    search=st.builds(
        SearchConfig,
        searcher=TEXTS,
        population=st.integers(4, 10**6),
        generations=COUNTS,
        crossover=FRACTIONS,
        mutation=FRACTIONS,
        max_madds=st.none() | POSITIVE,
        max_params=st.none() | POSITIVE,
        select=COUNTS,
    ),
    evaluate=st.builds(
        EvaluateConfig,
        bn=st.sampled_from(("auto", "running", "batch")),
        batch_size=COUNTS,
        calibration_images=st.integers(2, 99),
    ),
    stand_alone=st.builds(
        StandAloneConfig,
        epochs=st.none() | COUNTS,
        lr=st.none() | POSITIVE,
        genomes=st.lists(TEXTS, max_size=3).map(tuple),
        models=st.integers(3, 99),
        seeds=COUNTS,
        choose=st.sampled_from(("front", "stratified", "random")),
    ),
    resources=st.builds(
        Resources,
        device=st.sampled_from(("auto", "cpu", "cuda")),
        processes=st.none() | COUNTS,
        workers=st.none() | COUNTS,
        loader_workers=st.integers(0, 99),
        checkpoint_seconds=st.just(0.0) | POSITIVE,
        checkpoint_steps=st.none() | COUNTS,
    ),
)


@pytest.mark.slow
@given(CONFIGS)
def test_toml_goes_round(config: RunConfig) -> None:
    assert from_toml(to_toml(config)) == config


@pytest.mark.slow
@given(CONFIGS, CONFIGS)
@settings(max_examples=30)
def test_a_whole_file_over_a_default_gives_the_file_and_an_empty_one_the_default(a: RunConfig, b: RunConfig) -> None:
    assert from_toml("", default=a) == a
    over = from_toml(to_toml(a), default=b)
    unset = {key for key in differing_keys(over, a)}
    assert all(_value(a, key) is None for key in unset)  # TOML has no null: what `a` leaves open, `b` says
    assert all(_value(over, key) == _value(b, key) for key in unset)


def _value(config: object, key: str) -> object:
    for part in key.split("."):
        config = getattr(config, part)
    return config


def test_single_settings_over_a_recipe() -> None:
    text = '[data]\n[train]\nlr = 1\nepochs = 3\n[stand_alone]\ngenomes = ["01"]\n'
    assert from_toml(text, digits()) == dataclasses.replace(
        digits(),
        train=dataclasses.replace(digits().train, lr=1.0, epochs=3),
        stand_alone=dataclasses.replace(digits().stand_alone, genomes=("01",)),
    )


BAD_VALUES = [
    (lambda: DataConfig(validation_per_class=0), "data.validation_per_class is 0; give 1 or more"),
    (lambda: DataConfig(image_size=0), "data.image_size is 0; give 1 or more"),
    (lambda: DataConfig(train_per_class=-1), "data.train_per_class is -1; give 1 or more"),
    (lambda: DataConfig(test_per_class=0), "data.test_per_class is 0; give 1 or more"),
    (lambda: DataConfig(held_out_per_class=0), "data.held_out_per_class is 0; give 1 or more"),
    (
        lambda: DataConfig(augmentation="crop"),
        "data.augmentation: unknown value 'crop'; did you mean 'crop_flip'? (values: none, shift, crop_flip, inc",
    ),
    (lambda: DataConfig(crop="pad"), "data.crop: unknown value 'pad'; did you mean 'padded'? (values: auto, none, s"),
    (
        lambda: DataConfig(flip="left"),
        "data.flip: unknown value 'left' (values: auto, none, horizontal, vertical, both)",
    ),
    (lambda: DataConfig(rotate="90"), "data.rotate: unknown value '90' (values: none, quarter)"),
    (lambda: DataConfig(colour=1.5), "data.colour is 1.5; give a number from 0 to 1"),
    (lambda: DataConfig(colour=float("nan")), "data.colour is nan; give a number from 0 to 1"),
    (lambda: TrainConfig(epochs=0), "train.epochs is 0; give 1 or more"),
    (lambda: TrainConfig(batch_size=1), "train.batch_size is 1; give 2 or more"),
    (lambda: TrainConfig(lr=0), "train.lr is 0; give a number above 0"),
    (lambda: TrainConfig(lr=float("nan")), "train.lr is nan; give a number above 0"),
    (lambda: TrainConfig(lr=float("inf")), "train.lr is inf; give a number above 0"),
    (lambda: TrainConfig(momentum=1.1), "train.momentum is 1.1; give a number from 0 to 1"),
    (lambda: TrainConfig(momentum=float("nan")), "train.momentum is nan; give a number from 0 to 1"),
    (lambda: TrainConfig(weight_decay=-1e-5), "train.weight_decay is -1e-05; give 0 or more"),
    (lambda: TrainConfig(weight_decay=float("nan")), "train.weight_decay is nan; give 0 or more"),
    (lambda: TrainConfig(weight_decay=float("inf")), "train.weight_decay is inf; give 0 or more"),
    (
        lambda: TrainConfig(shared_gradient="means"),
        "train.shared_gradient: unknown value 'means'; did you mean 'mean'? (values: sum, mean)",
    ),
    (lambda: SearchConfig(population=3), "search.population is 3; give 4 or more"),
    (lambda: SearchConfig(generations=0), "search.generations is 0; give 1 or more"),
    (lambda: SearchConfig(crossover=-0.1), "search.crossover is -0.1; give a number from 0 to 1"),
    (lambda: SearchConfig(mutation=2), "search.mutation is 2; give a number from 0 to 1"),
    (lambda: SearchConfig(max_madds=0), "search.max_madds is 0; give a number above 0"),
    (lambda: SearchConfig(max_params=-1), "search.max_params is -1; give a number above 0"),
    (lambda: SearchConfig(max_latency=0), "search.max_latency is 0; give a number above 0"),
    (lambda: SearchConfig(latency_minutes=0), "search.latency_minutes is 0; give a number above 0"),
    (lambda: SearchConfig(select=0), "search.select is 0; give 1 or more"),
    (lambda: TrainConfig(lr_scale=0), "train.lr_scale is 0; give a number above 0"),
    (lambda: TrainConfig(k=0), "train.k is 0; give 1 or more"),
    (lambda: TrainConfig(path_dropout=1.5), "train.path_dropout is 1.5; give a number from 0 to 1"),
    (lambda: TrainConfig(bn_momentum=-1), "train.bn_momentum is -1; give a number from 0 to 1"),
    (lambda: TrainConfig(clip_norm=0), "train.clip_norm is 0; give a number above 0"),
    (lambda: TrainConfig(idle_blocks="move"), "train.idle_blocks: unknown value 'move'"),
    (lambda: TrainConfig(precision="float16"), "train.precision: unknown value 'float16'; did you mean 'bfloat16'?"),
    (lambda: HierarchyConfig(random=2), "search.hierarchy.random is 2; give a number from 0 to 1"),
    (lambda: HierarchyConfig(reinforced=-1), "search.hierarchy.reinforced is -1; give a number from 0 to 1"),
    (lambda: HierarchyConfig(prior=2), "search.hierarchy.prior is 2; give a number from 0 to 1"),
    (lambda: HierarchyConfig(controller=2), "search.hierarchy.controller is 2; give a number from 0 to 1"),
    (lambda: HierarchyConfig(0, 0, 0), "search.hierarchy has shares 0, 0 and 0; give at least one above 0"),
    (lambda: HierarchyConfig(prior_repeats="x"), "search.hierarchy.prior_repeats: unknown value 'x'"),
    (lambda: ControllerConfig(hidden=0), "search.controller.hidden is 0; give 1 or more"),
    (lambda: ControllerConfig(lr=0), "search.controller.lr is 0; give a number above 0"),
    (lambda: ControllerConfig(clip=0), "search.controller.clip is 0; give a number above 0"),
    (lambda: ControllerConfig(entropy=-1), "search.controller.entropy is -1; give 0 or more"),
    (lambda: ControllerConfig(epochs=0), "search.controller.epochs is 0; give 1 or more"),
    (lambda: ControllerConfig(baseline=2), "search.controller.baseline is 2; give a number from 0 to 1"),
    (lambda: RewardConfig(target=0), "search.reward.target is 0; give a number above 0"),
    (lambda: RewardConfig(exponent=1), "search.reward.exponent is 1; give a number from -10 to 0"),
    (lambda: EvaluateConfig(bn="moving"), "evaluate.bn: unknown value 'moving'"),
    (lambda: Resources(executor="parallel"), "resources.executor: unknown value 'parallel'"),
    (lambda: Resources(compile="yes"), "resources.compile: unknown value 'yes'"),
    (lambda: Resources(path_processes=0), "resources.path_processes is 0; give 1 or more"),
    (lambda: EvaluateConfig(calibration_images=1), "evaluate.calibration_images is 1; give 2 or more"),
    (lambda: EvaluateConfig(batch_size=0), "evaluate.batch_size is 0; give 1 or more"),
    (lambda: EvaluateConfig(activation_mib=0.0), "evaluate.activation_mib is 0.0; give a number above 0"),
    (
        lambda: EvaluateConfig(calibration="own"),
        "evaluate.calibration is 'own', but evaluate.bn is 'auto'; give evaluate.bn 'recalibrated', too",
    ),
    (lambda: RetrainConfig(recipe="best"), "retrain.recipe: unknown value 'best' (values: supernet, product)"),  # pyright: ignore[reportArgumentType]
    (lambda: RetrainConfig(initial="random"), "retrain.initial: unknown value 'random' (values: scratch, inherit)"),  # pyright: ignore[reportArgumentType]
    (lambda: RetrainConfig(epochs=0), "retrain.epochs is 0; give 1 or more"),
    (lambda: RetrainConfig(batch_size=1), "retrain.batch_size is 1; give 2 or more"),
    (lambda: RetrainConfig(lr=0), "retrain.lr is 0; give a number above 0"),
    (lambda: RetrainConfig(warmup_epochs=-1), "retrain.warmup_epochs is -1; give 0 or more"),
    (lambda: RetrainConfig(decay_epochs=0), "retrain.decay_epochs is 0; give a number above 0"),
    (lambda: RetrainConfig(decay=0), "retrain.decay is 0; give a number above 0"),
    (lambda: RetrainConfig(rms_decay=2), "retrain.rms_decay is 2; give a number from 0 to 1"),
    (lambda: RetrainConfig(momentum=-1), "retrain.momentum is -1; give a number from 0 to 1"),
    (lambda: RetrainConfig(epsilon=0), "retrain.epsilon is 0; give a number above 0"),
    (lambda: RetrainConfig(weight_decay=-1), "retrain.weight_decay is -1; give 0 or more"),
    (lambda: RetrainConfig(label_smoothing=1), "retrain.label_smoothing is 1; give a number from 0 to 0.9"),
    (lambda: RetrainConfig(dropout=1), "retrain.dropout is 1; give a number from 0 to 0.9"),
    (lambda: RetrainConfig(average=1.1), "retrain.average is 1.1; give a number from 0 to 1"),
    (lambda: RetrainConfig(bn_momentum=2), "retrain.bn_momentum is 2; give a number from 0 to 1"),
    (lambda: RetrainConfig(clip_norm=0), "retrain.clip_norm is 0; give a number above 0"),
    (lambda: RetrainConfig(mixup=-1), "retrain.mixup is -1; give 0 or more"),
    (lambda: RetrainConfig(cutout=-1), "retrain.cutout is -1; give 0 or more"),
    (lambda: RetrainConfig(distillation=2), "retrain.distillation is 2; give a number from 0 to 1"),
    (lambda: RetrainConfig(temperature=0), "retrain.temperature is 0; give a number above 0"),
    (lambda: RetrainConfig(validations=0), "retrain.validations is 0; give 1 or more"),
    (
        lambda: RetrainConfig(mixup=0.2),
        "retrain.mixup is 0.2, which retrain.recipe 'supernet' does not have; leave it at 0.0, or give retrain.re",
    ),
    (lambda: ExportConfig(calibration_images=0), "export.calibration_images is 0; give 1 or more"),
    (lambda: ExportConfig(licence="a\nb"), "export.licence is 'a\\nb'; give an SPDX expression such as Apache-2.0"),
    (lambda: ExportConfig(licence=""), "export.licence is ''; give an SPDX expression such as Apache-2.0"),
    (lambda: ArchitectureConfig(share=1), "train.architecture.share is 1; give a number between 0 and 1"),
    (lambda: ArchitectureConfig(lr=0), "train.architecture.lr is 0; give a number above 0"),
    (lambda: ArchitectureConfig(warm_up=2), "train.architecture.warm_up is 2; give a number from 0 to 1"),
    (lambda: ArchitectureConfig(cost_weight=-1), "train.architecture.cost_weight is -1; give 0 or more"),
    (lambda: StandAloneConfig(epochs=0), "stand_alone.epochs is 0; give 1 or more"),
    (lambda: StandAloneConfig(lr=-1), "stand_alone.lr is -1; give a number above 0"),
    (lambda: StandAloneConfig(models=2), "stand_alone.models is 2; give 3 or more"),
    (lambda: StandAloneConfig(seeds=0), "stand_alone.seeds is 0; give 1 or more"),
    (
        lambda: StandAloneConfig(choose="best"),
        "stand_alone.choose: unknown value 'best' (values: front, stratified, random)",
    ),
    (lambda: Resources(device="tpu"), "resources.device: unknown value 'tpu'; did you mean 'cpu'? (values: auto, c"),
    (lambda: Resources(processes=0), "resources.processes is 0; give 1 or more"),
    (lambda: Resources(workers=0), "resources.workers is 0; give 1 or more"),
    (lambda: Resources(loader_workers=-1), "resources.loader_workers is -1; give 0 or more"),
    (lambda: Resources(checkpoint_seconds=float("nan")), "resources.checkpoint_seconds is nan; give 0 or more"),
    (lambda: Resources(checkpoint_steps=0), "resources.checkpoint_steps is 0; give 1 or more"),
    (lambda: RunConfig("x", seed=-1), "seed is -1; give 0 or more"),
    (lambda: RunConfig("x", width=0.2), "width is 0.2; give a number from 0.25 to 4"),
    (lambda: RunConfig("x", minutes=0), "minutes is 0; give a number above 0"),
]


@pytest.mark.parametrize(("make", "message"), BAD_VALUES, ids=[message.split()[0] for _, message in BAD_VALUES])
def test_every_impossible_value_is_one_line(make, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}") as caught:
        make()
    assert len(str(caught.value).splitlines()) == 1


def numeric_settings(section, above: str = ""):
    """Dotted names of the numbers in a configuration and its sections."""
    for field in dataclasses.fields(section):
        value, kind = getattr(section, field.name), str(field.type)
        if dataclasses.is_dataclass(value):
            yield from numeric_settings(value, f"{above}{field.name}.")
        elif above and "Literal" not in kind and ("int" in kind or "float" in kind):
            yield above + field.name


def test_every_numeric_setting_is_checked() -> None:
    """A new setting without a check and a test above is noticed here."""
    checked = {message.split(" is ")[0] for _, message in BAD_VALUES if " is " in message}
    numeric = {"seed"} | set(numeric_settings(RunConfig(recipe="")))
    assert numeric - checked == set()


FILES = [
    ("[train]\nbatchsize = 1", "f.toml: unknown key 'train.batchsize'; did you mean 'train.batch_size'?"),
    ("[trian]\nlr = 1", "f.toml: unknown key 'trian'"),
    ("[foo]", "f.toml: unknown key 'foo' (keys: recipe, space, width, minutes, seed, data."),
    ("lr = 1", "f.toml: unknown key 'lr'"),
    ('"a\\nb" = 1', "f.toml: unknown key 'a\\nb'"),
    ("train = 3", "f.toml: key 'train' = 3; give settings under [train]"),
    ("[[train]]\nlr = 1", "f.toml: key 'train' = [{'lr': 1}]; give settings under [train]"),
    ("[data.name]", "f.toml: key 'data.name' = {}; give one value"),
    ("[data.name]\nx = 1", "f.toml: key 'data.name' = {'x': 1}; give one value"),
    ("[data]\nname = 2020-01-01", "f.toml: key 'data.name' = ['2020-01-01']: Input should be a valid string"),
    ('[train]\nepochs = "3"', "f.toml: key 'train.epochs' = '3': Input should be a valid integer"),
    ("[train]\nepochs = 3.0", "f.toml: key 'train.epochs' = 3.0: Input should be a valid integer"),
    ("[train]\nlr = true", "f.toml: key 'train.lr' = True: Input should be a valid number"),
    ("[train]\nlr = nan", "f.toml: train.lr is nan; give a number above 0"),
    ('[search]\nmax_madds = "many"', "f.toml: key 'search.max_madds': 'many' is not a quantity; write a number above"),
    ('[stand_alone]\ngenomes = "01"', "f.toml: key 'stand_alone.genomes' = '01': Input should be a valid array"),
    ("[stand_alone]\ngenomes = [1]", "f.toml: key 'stand_alone.genomes.0' = 1: Input should be a valid string"),
    ('[resources]\ndevice = "tpu"', "f.toml: key 'resources.device' = 'tpu': Input should be 'auto', 'cpu' or 'cuda'"),
    ("[train]\nepochs = 0", "f.toml: train.epochs is 0; give 1 or more"),
    ("lr =", "f.toml is not valid TOML: Invalid value (at end of document); see `fairnas run --help-all` for the keys"),
]


@pytest.mark.parametrize(("text", "message"), FILES, ids=[text.replace("\n", " ") for text, _ in FILES])
def test_wrong_files(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}") as caught:
        from_toml(text, digits(), source="f.toml")
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_without_recipe_needs_a_default() -> None:
    with pytest.raises(ConfigError, match=r"^f.toml lacks the key 'recipe'; add it, or begin with a recipe$"):
        from_toml("[train]\nlr = 1", source="f.toml")


TOML_VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | TEXTS | st.dates() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.slow
@given(st.sampled_from(list(dataclasses.asdict(digits()))), st.dictionaries(TEXTS, TOML_VALUES, max_size=2), st.data())
def test_anything_else_in_a_file_is_a_one_line_error(section: str, more: dict, data) -> None:
    import tomli_w

    fields = list(part) if isinstance(part := dataclasses.asdict(digits())[section], dict) else [section]
    wild = {data.draw(st.sampled_from(fields)): data.draw(TOML_VALUES)} | more
    text = tomli_w.dumps({section: data.draw(st.sampled_from([wild, *wild.values()]))})
    try:
        config = from_toml(text, digits())
    except ConfigError as error:
        lines = str(error).splitlines()
        assert len(lines) == 1, lines
    else:
        assert from_toml(to_toml(config)) == config


def test_files_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('space = "räume.toml"\n', encoding="utf-8")
    assert read_config(path, digits()).space == "räume.toml"
    path.write_text("seed = -1")
    with pytest.raises(ConfigError, match=f"^{re.escape(str(path))}: seed is -1; give 0 or more$"):
        read_config(path, digits())
    path.write_bytes(b"\xff")
    for unreadable in (path, tmp_path, tmp_path / "none.toml"):
        with pytest.raises(ConfigError, match=r"^cannot read the configuration .*; give a TOML file$"):
            read_config(unreadable)


@given(CONFIGS, st.data())
@settings(max_examples=30)
def test_differing_keys_name_what_was_changed_and_never_resources(config: RunConfig, data) -> None:
    other = data.draw(CONFIGS)
    changed = dataclasses.replace(config, resources=other.resources)
    assert differing_keys(config, changed) == ()
    section = data.draw(st.sampled_from(("data", "train", "search", "stand_alone")))
    changed = dataclasses.replace(changed, **{section: getattr(other, section)})
    ours, theirs = getattr(config, section), getattr(other, section)
    expected = [f.name for f in dataclasses.fields(ours) if getattr(ours, f.name) != getattr(theirs, f.name)]
    assert differing_keys(config, changed) == tuple(f"{section}.{name}" for name in expected)
    assert differing_keys(changed, config) == differing_keys(config, changed)


def test_differing_keys_of_top_level_settings() -> None:
    config = digits()
    assert differing_keys(config, dataclasses.replace(config, seed=1, space="compact")) == ("space", "seed")
    assert differing_keys(config, get_recipe("digits")) == ()


def test_configurations_are_values() -> None:
    config = digits()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.train.lr = 1.0  # pyright: ignore[reportAttributeAccessIssue]
    assert hash(config) == hash(digits())

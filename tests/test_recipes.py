"""Recipes: complete configurations, and the defaults made from a folder of images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnas.configfile import from_toml, to_toml
from fairnas.data.splits import Shares
from fairnas.errors import ConfigError, UnknownNameError
from fairnas.recipes import NAMES, RECIPES, folder, get_recipe
from fairnas.space import get_space


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_is_complete(name: str) -> None:
    config = get_recipe(name)
    assert config.recipe == name
    assert from_toml(to_toml(config)) == config
    assert RECIPES[name].__doc__
    space = get_space(config.space)
    space.for_data(image_size=config.data.image_size)
    for genome in config.stand_alone.genomes:
        space.parse(genome)


def test_names() -> None:
    assert NAMES == ("digits", "cifar10", "imagenet_a", "imagenet_b", "folder")
    with pytest.raises(UnknownNameError, match=r"^unknown recipe 'digit'; did you mean 'digits'\? \(recipes: digits, "):
        get_recipe("digit")
    with pytest.raises(
        ConfigError, match=r"^recipe 'folder' is made from images; use `fairnas run folder --data folder:PATH`$"
    ):
        get_recipe("folder")


@pytest.mark.parametrize(
    ("name", "space", "depth"), [("imagenet_a", "mobilenet_v2", 16), ("imagenet_b", "proxyless", 19)]
)
def test_the_papers_settings_to_the_letter(name: str, space: str, depth: int) -> None:
    config = get_recipe(name)
    assert (config.space, get_space(config.space).size) == (space, 6**depth)
    train = config.train
    assert (train.strategy, train.epochs, train.batch_size) == ("strict", 150, 256)
    assert (train.lr, train.momentum, train.weight_decay) == (0.045, 0.9, 4e-5)
    assert train.shared_gradient == "sum"
    assert (config.data.name, config.data.image_size, config.data.validation_per_class) == ("imagenet", 224, 50)
    assert config.data.augmentation == "inception"
    assert config.data.train_per_class is None
    search = config.search
    assert (search.searcher, search.population, search.generations, search.mutation) == ("moremnas", 64, 200, 0.8)
    assert search.population * search.generations == 12_800
    assert (search.select, search.max_madds, search.max_params) == (3, None, None)
    alone = config.stand_alone
    assert (alone.models, alone.choose, alone.epochs, alone.lr) == (13, "front", None, None)


FOLDERS = st.fixed_dictionaries(
    {
        "images": st.integers(0, 20_000_000),
        "smallest_class": st.integers(0, 100_000),
        "largest_class": st.integers(0, 100_000),
        "has_test": st.booleans(),
        "median_side": st.integers(1, 10_000),
        "with_gpu": st.booleans(),
    }
)


@given(FOLDERS)
def test_folder_is_sensible_for_any_folder(facts) -> None:
    facts["largest_class"] += facts["smallest_class"]
    config = folder("folder:x", **facts)
    assert config.recipe == "folder"
    assert config.data.name == "folder:x"
    size = config.data.image_size
    assert size is not None
    # the space takes the images; they are not enlarged, unless to the smallest size there is
    get_space(config.space).for_data(image_size=size)
    assert 8 <= size <= (224 if facts["with_gpu"] else 64)
    assert size <= max(8, facts["median_side"])
    assert 3 <= config.train.epochs <= 150
    # the work is bounded, up to the least number of epochs
    steps = config.train.epochs * facts["images"] / config.train.batch_size
    assert config.train.epochs == 3 or steps <= 1.2 * (30_000 if facts["with_gpu"] else 900)
    carved = config.data.validation_per_class
    assert 1 <= carved <= 50
    assert (config.data.test_per_class is None) == facts["has_test"]
    sizes = np.array([facts["smallest_class"], facts["largest_class"]])
    taken = Shares(carved, 0 if facts["has_test"] else carved, None).of_classes(sizes)
    if facts["smallest_class"] >= 3:  # every class keeps most of its images for training
        assert (sum(taken) <= np.maximum(2, sizes / 3)).all()
    assert taken[0].max() >= min(50, facts["smallest_class"] // 7)
    assert from_toml(to_toml(config)) == config


def test_small_classes_do_not_keep_large_ones_from_giving_images_for_validation() -> None:
    def carved(*sizes: int, has_test: bool = False) -> int:
        facts = {"images": 5000, "median_side": 300, "with_gpu": False}
        config = folder("x", smallest_class=min(sizes), largest_class=max(sizes), has_test=has_test, **facts)
        return config.data.validation_per_class

    assert carved(8, 5000, 5000) == 50
    assert carved(100, 5000) == 50
    assert carved(101, 5000) == 14  # two times 50 would be all of it
    assert carved(60, 5000, has_test=True) == 8
    assert [carved(size, size) for size in (1, 2, 3, 7, 14, 100, 350, 5000)] == [1, 1, 1, 1, 2, 14, 50, 50]


def test_only_the_papers_search_retrains_as_mnasnet() -> None:
    ours = get_recipe("imagenet_b").retrain
    assert (ours.recipe, ours.epochs, ours.batch_size) == ("product", 350, 1024)
    assert ours.lr * 1024 / 256 == 0.064
    others = [get_recipe(name) for name in NAMES if name not in ("imagenet_b", "folder")]
    assert {config.retrain.recipe for config in others} == {"supernet"}


def test_folder_examples() -> None:
    def made(**changes):
        facts = {
            "images": 5000,
            "smallest_class": 400,
            "largest_class": 400,
            "has_test": False,
            "median_side": 300,
            "with_gpu": False,
        }
        return folder("folder:x", **{**facts, **changes})

    assert (made().space, made().data.image_size) == ("compact", 64)
    assert (made(with_gpu=True).space, made(with_gpu=True).data.image_size) == ("mobilenet_v2", 224)
    assert made(median_side=100).data.image_size == 64
    assert made(median_side=33).data.image_size == 32
    assert made(median_side=5).data.image_size == 8
    large = made(image_size=224)
    assert (large.space, large.data.image_size, large.data.augmentation) == ("mobilenet_v2", 224, "inception")
    assert large.train.epochs <= made().train.epochs
    small = made(image_size=16, with_gpu=True)
    assert (small.space, small.data.image_size, small.data.augmentation) == ("compact", 16, "crop_flip")
    assert made(smallest_class=70, largest_class=70).data.validation_per_class == 10
    assert made(smallest_class=7000).data.validation_per_class == 50
    assert made(smallest_class=40).train.balance == "none"
    assert made(smallest_class=39).train.balance == "sampling"
    assert (made().measure, made(smallest_class=39).measure) == ("top1", "balanced_accuracy")
    assert made(median_side=40, with_gpu=True).data.augmentation == "crop_flip"
    assert made(median_side=50, with_gpu=True).data.augmentation == "inception"

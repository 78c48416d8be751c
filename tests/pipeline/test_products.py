"""Facts that a run hands over to its exported networks."""

from types import SimpleNamespace

from fairnas.config import Augmentation, RunConfig
from fairnas.nets import build
from fairnas.pipeline.export_stage import product_of
from fairnas.space import get_space


def test_a_product_prepares_images_as_the_data_set_did() -> None:
    space = get_space("digits")
    dataset = SimpleNamespace(
        name="folder:/home/me/photos",
        classes=tuple("0123456789"),
        image_size=space.image_size,
        image_channels=space.image_channels,
        mean=(0.3,),
        std=(0.4,),
        augmentation=Augmentation(flip="horizontal"),
        fit="pad",
        value_range=(29_000.0, 33_000.5),
        fingerprint="abc",
        train=[0] * 3,
        validation=[0] * 2,
        test=[0],
    )
    experiment = SimpleNamespace(dataset=dataset, config=RunConfig("digits"))
    product = product_of(experiment, build(space, "00000000"), {})  # pyright: ignore[reportArgumentType]
    made = product.preprocessing
    assert (made.image_size, made.image_channels) == (8, 1)
    assert (made.fit, made.value_range) == ("pad", (29_000.0, 33_000.5))
    assert (made.mean, made.std) == ((0.3,), (0.4,))

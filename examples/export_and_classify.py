"""A network exported to ONNX, and image files classified with it. It is untrained here, so it guesses."""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import fairnas
from fairnas.export import Classifier, Prediction, Preprocessing, Product, export_product

space = fairnas.get_space("digits")
network = fairnas.build(space, space.parse("01234501"), seed=0)
product = Product(
    network,
    classes=tuple(f"digit {number}" for number in range(10)),
    preprocessing=Preprocessing(8, 1, mean=(0.3,), std=(0.4,)),
    measures={},
    provenance={},
)
with tempfile.TemporaryDirectory() as folder:
    export_product(Path(folder), product)  # refused if ONNX and torch disagree
    picture = Path(folder, "digit.png")
    Image.fromarray((load_digits().images[0] * 15.9).astype(np.uint8)).save(picture)
    (found,) = Classifier(folder).predict([picture], top=3)
assert isinstance(found, Prediction)
for name, probability in zip(found.classes, found.probabilities, strict=True):
    print(f"{name}: {probability:.1%}")

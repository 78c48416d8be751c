"""Scores in bfloat16: everything but BN and the classifier in half the bits, and nothing else changed."""

import copy

import numpy as np
import pytest
import torch

from fairnas.evaluate import EvaluationCopy, OwnImagesCopy, RecalibratedCopy, score_genomes
from fairnas.evaluate.normalised import NormalisedConvolution
from fairnas.nets import Supernet
from fairnas.space import get_space


def images_for(space, count: int, seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, space.image_channels, space.image_size, space.image_size, generator=rng)


def judges(supernet: Supernet, precision) -> dict[str, EvaluationCopy]:
    images = images_for(supernet.space, 16, 1)
    return {
        "running": EvaluationCopy(supernet, precision=precision),
        "batch": EvaluationCopy(supernet, "batch", precision=precision),
        "recalibrated": RecalibratedCopy(supernet, images, precision=precision),
        "own images": OwnImagesCopy(supernet, lambda genome: images[sum(genome) % 4 :], precision=precision),
    }


@pytest.fixture(scope="module", params=["digits", "nas_bench_macro"])
def supernet(request, make_lively) -> Supernet:
    return make_lively(Supernet(get_space(request.param).for_data(image_size=8))).eval()


@pytest.mark.slow
@pytest.mark.cover("supernet", "statistics", together=1)
@pytest.mark.parametrize("statistics", ["running", "batch", "recalibrated", "own images"])
def test_scores_are_nearly_those_of_float32(supernet: Supernet, statistics: str) -> None:
    space, rng = supernet.space, np.random.default_rng(0)
    genomes = [space.sample(rng) for _ in range(4)]
    genomes += [(*genome[:5], *genomes[0][5:]) for genome in genomes]
    batches = [(images_for(space, 32, 2), torch.arange(32) % 10)]
    before = copy.deepcopy(supernet.state_dict())
    exact = score_genomes(judges(supernet, "float32")[statistics], genomes, batches)
    half = score_genomes(judges(supernet, "bfloat16")[statistics], genomes, batches)
    for found, wanted in zip(half, exact, strict=True):
        assert found.loss == pytest.approx(wanted.loss, rel=0.05)
        assert found.loss != wanted.loss
    assert half == [score_genomes(judges(supernet, "bfloat16")[statistics], [g], batches)[0] for g in genomes]
    assert all(torch.equal(value, before[key]) for key, value in supernet.state_dict().items())


def test_what_is_halved_and_what_is_not(supernet: Supernet) -> None:
    for scorer in judges(supernet, "bfloat16").values():
        prefixes = [(0,) * depth for depth in range(supernet.space.depth + 1)]
        for part in (module for prefix in prefixes for module in scorer.part(prefix).modules()):
            wanted = torch.float32 if isinstance(part, NormalisedConvolution) else torch.bfloat16
            assert all(weight.dtype == wanted for weight in part.parameters(recurse=False))
        assert torch.equal(scorer.head.classifier.weight, supernet.head.classifier.weight)
        seen = []
        genomes = [(0,) * supernet.space.depth]
        scorer.prepare(genomes)
        with torch.inference_mode():
            scorer.logits(genomes, images_for(supernet.space, 8, 3), lambda _, logits, seen=seen: seen.append(logits))
        (logits,) = seen
        assert logits.dtype == torch.float32
        assert any(logits.flatten() != logits.flatten().bfloat16().float())  # more than three digits

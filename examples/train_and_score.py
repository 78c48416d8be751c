"""A supernet trained for a few seconds, and networks scored with the weights that they inherit from it."""

import numpy as np
import torch

import fairnas
from fairnas.config import DataConfig, TrainConfig
from fairnas.data import load_dataset, ordered_batches
from fairnas.evaluate import score_genomes
from fairnas.space import format_genome
from fairnas.train import LoopOptions, supernet_training, train

device = torch.device("cpu")
space = fairnas.get_space("digits")
data = load_dataset(DataConfig("digits", augmentation="shift"), image_size=8, image_channels=1, seed=0)
config = TrainConfig(strategy="strict", epochs=2, batch_size=50, lr=0.05)
training = supernet_training(space, config, seed=0, device=device)
train(training, data, config, seed=0, options=LoopOptions())
print(training.ledger.audit())

rng = np.random.default_rng(0)
genomes = [space.sample(rng) for _ in range(5)]
batches = ordered_batches(data.validation, data, batch_size=100, device=device)
scores = score_genomes(training.network, genomes, batches)
for genome, score in sorted(zip(genomes, scores, strict=True), key=lambda pair: -pair[1].top1):
    print(f"{format_genome(genome)}: one-shot accuracy {score.top1:.1%}, {fairnas.cost(space, genome).madds:,} madds")

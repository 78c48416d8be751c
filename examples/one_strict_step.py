"""One strictly fair supernet step by hand: Algorithm 1 of the paper, on scikit-learn's handwritten digits."""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

import fairnas
from fairnas.fairness import StrictSampler

space = fairnas.get_space("digits")
supernet = fairnas.Supernet(space, seed=0)
optimizer = torch.optim.SGD(supernet.parameters(), lr=0.05, momentum=0.9)
digits = load_digits()
images = torch.tensor(digits.images[:64, None] / 16, dtype=torch.float32)
labels = torch.tensor(digits.target[:64])

paths = StrictSampler(space.choices, seed=0).paths(step=0)
optimizer.zero_grad()
for genome in paths:  # m paths, which share one mini-batch
    loss = F.cross_entropy(supernet(images, genome), labels)
    loss.backward()  # gradients add up over the paths
optimizer.step()  # one update, after all of them

trained = np.array(paths)  # (m, L): the choice of every path in every layer
for layer in range(space.depth):
    assert sorted(trained[:, layer]) == list(range(space.choices[layer])), "each block once"
print(f"{len(paths)} paths, one update: every choice block of {space.depth} layers was trained exactly once")

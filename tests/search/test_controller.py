"""The controller: probabilities that are right, a loss that is PPO's, and a policy that learns."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.config import ControllerConfig
from fairnas.search.controller import Controller, Policy, log_probability, ppo_loss

CHOICES = (2, 3, 1, 4)


def lively(choices=CHOICES, seed=0, hidden=8) -> Policy:
    """A policy that is far from uniform."""
    policy = Policy(choices, hidden, seed)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        policy.logits.weight.normal_(0, 4, generator=rng)
        policy.before.weight.normal_(0, 1, generator=rng)
    return policy


def everything(choices=CHOICES) -> torch.Tensor:
    return torch.tensor(list(itertools.product(*map(range, choices))))


def test_a_new_policy_is_uniform():
    logs = log_probability(Policy(CHOICES, 8, 0)(everything()), everything())
    torch.testing.assert_close(logs.exp(), torch.full((24,), 1 / 24))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 1000))
@settings(max_examples=20)
def test_probabilities_of_all_genomes_add_up_to_one(choices, seed):
    genomes = everything(tuple(choices))
    logs = log_probability(lively(choices, seed)(genomes), genomes)
    assert logs.exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_genomes_are_drawn_with_their_probabilities_also_given_a_beginning():
    policy, genomes = lively(), everything()
    logs = policy(genomes)
    count = 20_000
    for first in (0, 2):
        given_ = np.tile([1, 2, 0, 0], (count, 1))
        drawn = policy.sample(given_, np.tile(np.arange(4) >= first, (count, 1)), np.random.default_rng(0))
        assert (drawn[:, :first] == given_[:, :first]).all()
        own = (torch.arange(4) >= first).float().expand(len(genomes), 4)
        chances = log_probability(logs, genomes, own).exp().detach().numpy()
        begins = (genomes.numpy()[:, :first] == given_[0, :first]).all(axis=1)
        shares = [(drawn == genome).all(axis=1).mean() for genome in genomes[begins].numpy()]
        assert np.allclose(shares, chances[begins], atol=4 * np.sqrt(0.25 / count))


def test_the_loss_is_ppo_written_out():
    """An independent reference, term by term in numpy."""
    config = ControllerConfig(clip=0.2, entropy=0.05)
    policy, genomes = lively(), everything()[::3]
    rng = np.random.default_rng(0)
    own = torch.from_numpy((np.arange(4) >= rng.integers(4, size=(len(genomes), 1))).astype(np.float32))
    logs = policy(genomes)
    old = log_probability(logs, genomes, own).detach() + torch.from_numpy(rng.normal(0, 0.4, len(genomes))).float()
    advantages = torch.from_numpy(rng.normal(0, 1, len(genomes))).float()
    loss = ppo_loss(logs, genomes, old, advantages, config, own)
    table, total, entropy = logs.detach().double().numpy(), 0.0, 0.0
    for row, genome in enumerate(genomes.tolist()):
        new = sum(table[row, layer, choice] for layer, choice in enumerate(genome) if own[row, layer])
        ratio = np.exp(new - old[row].item())
        gain = advantages[row].item()
        total += min(ratio * gain, min(max(ratio, 0.8), 1.2) * gain) / len(genomes)
        for layer, count in enumerate(CHOICES):
            chances = np.exp(table[row, layer, :count])
            entropy -= (chances * np.log(chances)).sum() / len(genomes)
    assert loss.item() == pytest.approx(-total - 0.05 * entropy, rel=1e-4)
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in policy.parameters())


@pytest.mark.slow
def test_it_learns_a_bandit_with_a_known_optimum():
    """Reward is the share of layers that agree with one genome: in 60 generations of 32 the policy finds it."""
    choices, best = (4,) * 6, np.array([3, 0, 2, 1, 1, 3])
    controller = Controller(choices, ControllerConfig(), 0)
    rng, empty = np.random.default_rng(0), np.zeros((32, 6), dtype=int)
    means = []
    for _ in range(60):
        drawn = controller.draw(empty, np.ones((32, 6), dtype=bool), rng)
        rewards = (drawn == best).mean(axis=1)
        means.append(rewards.mean())
        controller.learn([tuple(row) for row in drawn.tolist()], rewards.tolist())
    assert np.mean(means[:3]) < 0.4
    assert np.mean(means[-3:]) > 0.85
    final = controller.draw(empty, np.ones((32, 6), dtype=bool), rng)
    assert [np.bincount(column, minlength=4).argmax() for column in final.T] == best.tolist()


def test_what_was_given_is_not_rewarded():
    """Layers that the policy did not draw get no gradient from the genome's reward."""
    config = ControllerConfig(entropy=0.0)
    one, other = (Controller((3,) * 3, config, 0) for _ in range(2))
    for first_layer, controller in (((0, 1, 2), one), ((2, 1, 2), other)):
        controller.learn([first_layer, (1, 0, 0)], [1.0, 0.0], [(False, True, True)] * 2)
    start = torch.tensor([[0, 0, 0]])
    torch.testing.assert_close(one.policy(start)[:, 0], Policy((3,) * 3, 64, 0)(start)[:, 0], rtol=0, atol=0.05)
    untouched, moved = one.policy(start).detach()[0, 0], one.policy(torch.tensor([[0, 1, 2]])).detach()[0, 1]
    assert moved[1] > np.log(1 / 3)
    assert (untouched - np.log(1 / 3)).abs().max() < (moved - np.log(1 / 3)).abs().max()


def test_nothing_to_learn_from_changes_nothing():
    controller = Controller((2, 2), ControllerConfig(), 0)
    before = [parameter.clone() for parameter in controller.policy.parameters()]
    controller.learn([], [])
    assert all(torch.equal(a, b) for a, b in zip(before, controller.policy.parameters(), strict=True))

"""Multiply-adds and parameters of published networks, and of any genome of a search space."""

import fairnas

for name in ("fairnas_a", "fairnas_b", "fairnas_c"):
    network = fairnas.zoo.create(name)
    print(f"{name}: {sum(weight.numel() for weight in network.parameters()) / 1e6:.2f} M parameters")

space = fairnas.get_space("nas_bench_macro")
genome = space.parse("01201201")
costs = fairnas.cost(space, genome)
print(f"{space.name} has {space.size:,} networks; this one takes {costs.madds / 1e6:.0f} M multiply-adds")
assert space.size == 3**8

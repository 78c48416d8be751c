"""The study of `benchmarks.nas_bench_macro`: its arms, their trainings, the scores, and what they come to."""

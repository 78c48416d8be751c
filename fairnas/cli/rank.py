"""`fairnas rank --run DIR`: the ranking study alone."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fairnas.cli.output import print_json
from fairnas.cli.parsing import RunArguments, UsageError, given_flags, show_help, wants_help
from fairnas.cli.ranking import print_study
from fairnas.cli.settings import stage_settings
from fairnas.cli.stage import do_stage
from fairnas.config import Resources, StandAloneConfig
from fairnas.errors import FairnasError, GenomeError
from fairnas.record import read_record
from fairnas.rundir import RunDirectory
from fairnas.space import Genome, SearchSpace, format_genome, get_space
from fairnas.space.file import from_dict


@dataclass(frozen=True)
class RankVerb(RunArguments):
    """Train networks from scratch and measure how well the supernet ranks models.

    Settings given here replace the run's; networks that were already trained are not trained again.

    Examples:
        fairnas rank --run runs/digits --models 30 --choose stratified
        fairnas rank --run runs/digits --against runs/uniform
        fairnas rank --run runs/digits --genomes networks.txt --seeds 3
        fairnas rank --run runs/digits --scheduler tcp://10.0.0.5:8786
        fairnas rank --run runs/digits --show
    """

    models: int | None = None
    """Number of networks in the study; default: the run's."""
    seeds: int | None = None
    """Trainings per network; default: the run's."""
    choose: Literal["front", "stratified", "random"] | None = None
    """Way to choose the networks; default: the run's."""
    genome: tuple[str, ...] = ()
    """A network to study, as genome in text form, instead of chosen ones."""
    genomes: Path | None = None
    """File with the networks to study: one genome per line; # begins a comment."""
    against: str | None = None
    """Another run with the same space and data whose supernet also scores the networks. `none`: no other run."""
    show: bool = False
    """Print the existing study; train nothing."""
    resources: Resources = field(default_factory=Resources)


def main(arguments: Sequence[str]) -> None:
    """Parse, rank, print."""
    if wants_help(arguments):
        show_help(RankVerb, arguments, "rank")
    flags = given_flags(RankVerb, arguments, "rank")
    given = RankVerb(**flags.own)
    run = RunDirectory.open(given.run)
    if given.models == 0:
        raise UsageError("--models is 0, which is no study; give 3 or more")
    if not given.show:
        config, study = run.config, _study(given, run)
        if study.against is not None:  # checked before it is written into the run's configuration
            from fairnas.pipeline.other_scorers import require_comparable

            require_comparable(run, Path(study.against))
        _, resources = stage_settings(config, flags)
        changed = dataclasses.replace(config, stand_alone=study)
        do_stage("rank", given, config=changed, instead_of=config, resources=resources)
    elif not flags.own.keys() <= {"run", "json", "show"} or flags.settings:
        raise UsageError("--show prints the study that is there; leave --show out to make another one")
    from fairnas.analysis import RankingRecord  # numpy

    if not run.is_finished("rank"):
        raise FairnasError(f"{run.path} has no finished ranking study; `fairnas rank --run {run.path}` makes it")
    record = read_record(run, "ranking.json", RankingRecord)
    if not given.json:
        print_study(record)
    elif given.show:
        print_json(record.to_dict())


def _study(given: RankVerb, run: RunDirectory) -> StandAloneConfig:
    """Return the run's settings with those given in their place."""
    ours = run.config.stand_alone
    texts = _named(given, run)
    if texts and (given.models is not None or given.choose is not None):
        raise UsageError("--genome and --genomes name the networks of the study; leave --models and --choose out")
    chosen = given.models is not None or given.choose is not None
    return dataclasses.replace(
        ours,
        models=ours.models if given.models is None else given.models,
        seeds=ours.seeds if given.seeds is None else given.seeds,
        choose=given.choose or ours.choose,
        study=texts or (() if chosen else ours.study),
        against=ours.against if given.against is None else None if given.against == "none" else given.against,
    )


def _named(given: RankVerb, run: RunDirectory) -> tuple[str, ...]:
    """Return the genomes given, checked against the run's space, as its configuration stores them."""
    if not given.genome and given.genomes is None:
        return ()
    stored = run.path / "space.json"
    space = from_dict(run.read_json("space.json")) if stored.exists() else get_space(run.config.space)
    genomes = [*map(space.parse, given.genome), *(read_genomes(given.genomes, space) if given.genomes else ())]
    space.require_distinct(genomes)
    return tuple(map(format_genome, genomes))


def read_genomes(path: Path, space: SearchSpace) -> list[Genome]:
    """Read the networks of a text file with a genome per line. Raises `UsageError`, or `GenomeError` with the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"cannot read {path} ({error.strerror}); give a text file with one genome per line") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a text file; give one with one genome per line") from None
    genomes = []
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if text:
            try:
                genomes.append(space.parse(text))
            except GenomeError as error:
                raise GenomeError(f"{path}, line {number}: {error}") from None
    if not genomes:
        raise UsageError(f"{path} names no network; give one genome per line")
    return genomes

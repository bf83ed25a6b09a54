"""Stage `pool`: every good person of the training photographs, cut out."""

from pathlib import Path

import typer

from dag.data.cutout import Pool
from dag.data.parsing.load import load_parser
from dag.data.pool import build_pool, pool_metrics
from dag.data.quality import write_quality
from dag.data.sheet import write_pool_sheet
from dag.files import write_json
from dag.params import load_params
from dag.person import read_persons
from dag.stage import run
from dag.work import Workers


def pool(persons: Path, parser: str, out: Path, quality: Path, metrics: Path, sheet: Path) -> None:
    """Cut people out of the training photographs into OUT; figures to QUALITY and METRICS, pictures to SHEET."""
    params = load_params()
    people, skeleton = read_persons(persons, "train")
    qualities = build_pool(
        out,
        people,
        params.datasets[params.data.dataset].root,
        load_parser(parser, skeleton),
        skeleton,
        **params.pool.model_dump(exclude={"parser"}),
        workers=Workers(params.engine.workers, params.engine.backend, params.engine.cluster),
    )
    figures = pool_metrics(qualities)
    write_quality(quality, qualities)
    write_json(metrics, figures)
    write_pool_sheet(sheet, Pool(out), skeleton)
    if not figures["accepted"]:
        typer.echo(f"warning: the pool is empty; of {len(people)} people rejected: {figures['rejected']}", err=True)


if __name__ == "__main__":
    run(pool)

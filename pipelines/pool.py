"""Stage `pool`: every good person of the training images, cut out."""

from pathlib import Path

import typer

from dag.annotation import read_annotations
from dag.files import write_json
from dag.parallel import Workers
from dag.params import load_params
from dag.parsing.load import load_parser
from dag.pool.build import build_pool, pool_metrics
from dag.pool.pool import Pool
from dag.pool.quality import write_quality
from dag.sheets.pool import write_pool_sheet
from dag.stage import run


def pool(annotations: Path, parser: str, out: Path, quality: Path, metrics: Path, sheet: Path) -> None:
    """Cut people out of the training images into OUT; metrics to QUALITY and METRICS, pictures to SHEET."""
    params = load_params()
    people, skeleton = read_annotations(annotations, "train")
    qualities = build_pool(
        out,
        people,
        params.datasets[params.data.dataset].root,
        load_parser(parser, skeleton),
        skeleton,
        **params.pool.model_dump(exclude={"parser"}),
        workers=Workers(params.engine.workers, params.engine.backend, params.engine.cluster),
    )
    summary = pool_metrics(qualities)
    write_quality(quality, qualities)
    write_json(metrics, summary)
    write_pool_sheet(sheet, Pool(out), skeleton)
    if not summary["accepted"]:
        typer.echo(f"warning: the pool is empty; of {len(people)} people rejected: {summary['rejected']}", err=True)


if __name__ == "__main__":
    run(pool)

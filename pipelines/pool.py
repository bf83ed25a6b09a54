"""Stage pool: cut-outs of the training persons that meet the quality limits."""

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
    """Write cut-outs of the training split to OUT, their quality to QUALITY and METRICS, a contact sheet to SHEET."""
    params = load_params()
    persons, skeleton = read_annotations(annotations, "train")
    qualities = build_pool(
        out,
        persons,
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
        typer.echo(
            f"warning: the instance pool is empty; {len(persons)} persons rejected: {summary['rejected']}", err=True
        )


if __name__ == "__main__":
    run(pool)

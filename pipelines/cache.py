"""Stage cache: decoded person crops, clean and occluded."""

from pathlib import Path

from dag.cache.build import write_cache
from dag.parallel import Workers
from dag.params import load_params
from dag.sheets.cache import write_cache_sheet
from dag.stage import run


def cache(annotations: Path, pool: Path, out: Path, sheet: Path) -> None:
    """Write the crop cache of the train split to OUT and a contact sheet of examples to SHEET."""
    params = load_params()
    write_cache(
        out,
        annotations,
        pool,
        params.datasets[params.data.dataset].root,
        input_wh=params.data.input_wh,
        margin=params.cache.margin,
        variants=params.cache.variants,
        shard_mb=params.cache.shard_mb,
        mask=params.cache.mask_joints.model_dump(),
        paste=params.cache.paste_instance.model_dump(),
        seed=params.seed,
        workers=Workers(params.engine.workers, params.engine.backend, params.engine.cluster),
    )
    write_cache_sheet(sheet, out)


if __name__ == "__main__":
    run(cache)

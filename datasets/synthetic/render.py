"""Stage `render`: images of people with exact ground truth, in COCO's layout."""

from pathlib import Path

from dag.errors import UserError
from dag.parallel import Workers
from dag.params import load_params
from dag.stage import run
from dag.synthetic.coco import write_synthetic


def render(name: str, out: Path) -> None:
    """Render the data set NAME of params.yaml, block `render`, to the folder OUT."""
    params = load_params()
    if name not in params.render:
        raise UserError(
            "no such block", where="params.yaml, render", expected=f"one of {', '.join(params.render)}", got=repr(name)
        )
    settings = params.render[name]
    write_synthetic(
        out,
        {"train": settings.train, "val": settings.val},
        width=settings.width,
        height=settings.height,
        max_persons=settings.max_persons,
        occlusion=settings.occlusion,
        seed=settings.seed,
        workers=Workers(params.engine.workers, params.engine.backend, params.engine.cluster),
    )


if __name__ == "__main__":
    run(render)

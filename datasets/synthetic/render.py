"""Stage `render`: images of people with exact ground_truth, in COCO's layout."""

from pathlib import Path

from dag.errors import UserError
from dag.parallel import Workers
from dag.params import load_params
from dag.stage import run
from dag.synthetic.coco import write_synthetic


def render(name: str, out: Path) -> None:
    """Render the images that params.yaml asks for."""
    params = load_params()
    if name not in params.render:
        raise UserError(
            "no such block", where="params.yaml, render", expected=f"one of {', '.join(params.render)}", got=repr(name)
        )
    wanted = params.render[name]
    write_synthetic(
        out,
        {"train": wanted.train, "val": wanted.val},
        width=wanted.width,
        height=wanted.height,
        max_persons=wanted.max_persons,
        occlusion=wanted.occlusion,
        seed=wanted.seed,
        workers=Workers(params.engine.workers, params.engine.backend, params.engine.cluster),
    )


if __name__ == "__main__":
    run(render)

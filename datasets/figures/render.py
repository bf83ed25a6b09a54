"""Stage `render`: photographs of people with exact truth, in COCO's layout."""

from pathlib import Path

from dag.data.figures.coco import write_figures
from dag.errors import UserError
from dag.params import load_params
from dag.stage import run
from dag.work import Workers


def render(name: str, out: Path) -> None:
    """Render the photographs that params.yaml asks for."""
    params = load_params()
    if name not in params.render:
        raise UserError(
            "no such block", where="params.yaml, render", expected=f"one of {', '.join(params.render)}", got=repr(name)
        )
    wanted = params.render[name]
    write_figures(
        out,
        {"train": wanted.train, "val": wanted.val},
        width=wanted.width,
        height=wanted.height,
        people=wanted.people,
        occlusion=wanted.occlusion,
        seed=wanted.seed,
        workers=Workers(params.engine.workers, params.engine.backend, params.engine.cluster),
    )


if __name__ == "__main__":
    run(render)

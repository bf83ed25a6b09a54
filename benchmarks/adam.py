"""What ADAM does to the target heatmaps at the joints of OTHER people. Goal: half the response of the plain model.

    python benchmarks/adam.py [--steps 600] [--out docs/adam.jpg]

Rendered images, and of them the crops with two people: another person has six or more joints in the crop.
`hrnet_tiny` without and with ADAM (and its l_m), from nothing, equal batches and steps, three seeds, one thread, about
16 minutes. It is trained in two ways:

    middle: the target is the person whose box the crop is, as `pipelines/train.py` has it;
    anyone: every second time the target is another person of the crop, and the centre that ADAM looks at is that
        person's. Nothing but that centre says who is asked for, so the plain model is not told.

Looked at on held-out crops, the target in the middle: joints of others at least 8 heatmap pixels (four sigma) from the
target's joint of that name and from its mirrored one. `other` and `own` are the highest response within one heatmap
pixel of the other's joint and of the target's joint of that name. `swapped` is the share of those joints at which the
other's response is the higher one, `found` the share of the target's joints that are decoded within 10 input pixels.
`asked for the other` is other / own with ADAM's centre on the other person: above 1 it follows its centre.
"""

from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
import typer
from torch import Tensor
from torch.nn.functional import max_pool2d

from dag.annotation import Source, write_annotations
from dag.augmentation.batch_transforms import denormalise, warp
from dag.cache.batches import PersonCrops, collate
from dag.cache.build import write_cache
from dag.convert.coco import read_coco
from dag.files import whole_file
from dag.geometry import pixel_of
from dag.models.pose import DagPose, build_model
from dag.parallel import Workers
from dag.params import Params, load_params
from dag.skeleton import COCO17
from dag.synthetic.coco import write_synthetic
from dag.training.module import PoseTraining

PRESET = Path(__file__).parent.parent / "presets/default.yaml"
LEAST_JOINTS, FAR, NEAR, STRIDE, BATCH = 6, 8.0, 10.0, 4, 64
SEEDS, WAYS, GOAL = (0, 1, 2), ("middle", "anyone"), 0.5
TARGET, OTHERS, WITHOUT, WITH = (0, 220, 60), (60, 170, 255), (150, 150, 150), (220, 70, 40)
TITLES = [
    "target green|others blue",
    "middle|without",
    "middle|with",
    "anyone|without",
    "anyone|with",
    "anyone, with|asked for other",
]
CAPTIONS = {"middle": "the target in the middle", "anyone": "anyone as the target; the centre says who"}
CROPS, ZOOM = 6, 1.5
Scene = dict[str, Tensor]


def render(folder: Path, params: Params) -> dict[str, Path]:
    """Caches of the clean crops of the default's images, for each split."""
    setting = params.render["synthetic"].model_dump()
    counts, workers = {split: setting.pop(split) for split in ("train", "val")}, Workers(2)
    write_synthetic(folder, counts, **setting, workers=workers)
    for split in counts:
        rows, _ = read_coco(
            folder / f"annotations/person_keypoints_{split}.json", dataset="synthetic", split="train", skeleton=COCO17,
            image_folder=split, source=Source.RENDERED,
        )  # fmt: skip
        people = folder / f"{split}.parquet"
        write_annotations(people, rows, COCO17)
        write_cache(  # nobody is pasted: any file will do as the pool
            folder / f"{split}_cache", people, people, folder, input_wh=params.data.input_wh, variants=0,
            margin=params.cache.margin, shard_mb=params.cache.shard_mb, paste={"p": 0}, seed=0, workers=workers,
            mask={**params.cache.mask_joints.model_dump(), "p": 0},
        )  # fmt: skip
    return {split: folder / f"{split}_cache" for split in counts}


def with_company(cache: Path) -> tuple[PersonCrops, list[int]]:
    """Crops as they are, and which of them show two people."""
    crops = PersonCrops(cache, occluded=0.0, flip=0, rotation=0, rotation_p=0, scale=0, half_body=0, seed=0)
    return crops, [n for n in range(len(crops)) if present(crops[n]["visibility"]).any()]


def present(visibility: np.ndarray) -> np.ndarray:
    """`[P]`: other people with enough joints in the crop."""
    return ((visibility > 0).sum(-1) >= LEAST_JOINTS) & (np.arange(len(visibility)) > 0)


def center_of(xy: Tensor, visibility: Tensor) -> Tensor:
    """From the crop's centre to the middle of a person's joints, in feature pixels."""
    seen = xy[visibility > 0]
    return ((seen.amin(0) + seen.amax(0)) / 2 / STRIDE).round().long() - torch.tensor([12, 16])


def ask_anyone(batch: Scene, rng: np.random.Generator) -> Tensor:
    """Put another person first in every second sample; where that person's centre is, `[B, 2]`."""
    xy, visibility = batch["keypoints_input_xy"], batch["visibility"]
    centers = torch.zeros(len(xy), 2, dtype=torch.long)
    for n in range(len(xy)):
        others = np.flatnonzero(present(visibility[n].numpy()))
        if len(others) and rng.random() < 0.5:
            both = [0, int(rng.choice(others))]
            xy[n, both], visibility[n, both] = xy[n, both[::-1]], visibility[n, both[::-1]]
            centers[n] = center_of(xy[n, 0], visibility[n, 0])
    return centers


def train(cache: Path, chosen: list[int], params: Params, *, adam: bool, way: str, seed: int, steps: int) -> DagPose:
    """The default's training in short: its rates, its augmentation, its losses without the graph's."""
    torch.manual_seed(seed)
    settings, width_height = params.train, params.data.input_wh
    model = build_model("hrnet_tiny", input_wh=width_height, adam=adam, **params.attention.model_dump())
    crops = PersonCrops(cache, occluded=0.0, seed=seed, **settings.augment.model_dump())
    module = PoseTraining(
        model, input_wh=width_height, **settings.loss.model_dump(), **settings.photometric.model_dump(),
        learning_rate=settings.learning_rate, warmup_steps=settings.warmup_steps, milestones=settings.milestones, seed=seed,
    )  # fmt: skip
    optimiser, order, epoch = module.configure_optimizers(), [], 0
    for step in range(steps):
        if len(order) < settings.batch_size:
            crops.set_epoch(epoch)
            order, epoch = np.random.default_rng((seed, epoch)).permutation(chosen).tolist(), epoch + 1
        batch = collate([crops[order.pop()] for _ in range(settings.batch_size)])
        centers = model.draw_center_offsets(settings.batch_size, torch.Generator().manual_seed(step))
        if way == "anyone":
            asked = ask_anyone(batch, np.random.default_rng((seed, step)))
            centers = None if centers is None else centers + asked
        for group in optimiser.param_groups:
            group["lr"] = module.rate(settings.epochs * step // steps, step)
        optimiser.zero_grad()
        sum(module.weights[name] * loss for name, loss in module.losses(batch, centers).items()).backward()  # type: ignore[union-attr]
        optimiser.step()
    return model.eval()


def held_out(cache: Path) -> Scene:
    """Crops to look at: `image`, `xy`, `visibility`, `joints` (crop, other person, joint) and `centers` of others."""
    crops, chosen = with_company(cache)
    batch = collate([crops[n] for n in chosen])
    xy, labelled = batch["keypoints_input_xy"], batch["visibility"] > 0
    away = [(xy[:, 1:] - xy[:, :1, names]).norm(dim=-1) / STRIDE > FAR for names in (slice(None), COCO17.flip_index)]
    absent = ~labelled[:, :1, COCO17.flip_index]
    joints = (labelled[:, 1:] & labelled[:, :1] & away[0] & (away[1] | absent)).nonzero() + torch.tensor([0, 1, 0])
    other = labelled[:, 1:].sum(-1).argmax(1) + 1
    centers = torch.stack([center_of(xy[n, who], labelled[n, who]) for n, who in enumerate(other)])
    image = warp(batch["image"], batch["input_from_canvas"], (128, 96))
    return {"image": image, "xy": xy, "labelled": labelled, "joints": joints, "other": other, "centers": centers}


@torch.inference_mode()
def heatmaps(model: DagPose, scene: Scene, *, ask_other: bool = False) -> Tensor:
    """What the model says of the target, or of the other person."""
    parts = zip(scene["image"].split(BATCH), scene["centers"].split(BATCH))
    return torch.cat([model(image, centers if ask_other else None).target for image, centers in parts])


def look(model: DagPose, scene: Scene) -> dict[str, float]:
    """The metrics of this benchmark."""
    crop, person, joint = scene["joints"].unbind(1)

    def response(maps: Tensor, who: Tensor) -> Tensor:
        column, row = (scene["xy"][crop, who, joint] / STRIDE).round().long().unbind(1)
        return max_pool2d(maps, 3, 1, 1).clamp(min=0)[crop, joint, row.clamp(max=31), column.clamp(max=23)]

    maps = heatmaps(model, scene)
    other, own = response(maps, person), response(maps, torch.zeros_like(person))
    found = {"own": own.mean(), "other": other.mean(), "other / own": other.mean() / own.mean()}
    error = (model.head.decode(maps, (128, 96))[0] - scene["xy"][:, 0]).norm(dim=-1)[scene["labelled"][:, 0]]
    found |= {"swapped": (other > own).float().mean(), "found": (error < NEAR).float().mean()}
    if model.attention is not None:
        maps, same = heatmaps(model, scene, ask_other=True), person == scene["other"][crop]
        other, own = response(maps, person)[same], response(maps, torch.zeros_like(person))[same]
        found["asked for the other"] = other.mean() / own.mean()
    return {name: float(value) for name, value in found.items()}


def draw(models: list[DagPose], scene: Scene, metrics: dict[tuple[str, bool], list[float]]) -> np.ndarray:
    """Bars, and crops with each model's heatmaps, the highest joint's; the last model is asked for the other too."""
    most = scene["labelled"][:, 1:].sum(-1).amax(1)
    chosen = (most >= 12).nonzero()[:, 0]
    chosen = chosen[torch.linspace(0, len(chosen) - 1, CROPS).long()]
    maps = [heatmaps(model, scene) for model in models] + [heatmaps(models[-1], scene, ask_other=True)]
    rows = [np.hstack([tile(scene, n, None), *(tile(scene, n, each[n]) for each in maps)]) for n in chosen.tolist()]
    pictures = np.hstack([np.vstack(rows[: CROPS // 2]), np.vstack(rows[CROPS // 2 :])])
    head = np.full((250, pictures.shape[1], 3), 255, np.uint8)
    bars(head, metrics)
    for column, words in enumerate(TITLES * 2):
        for line, text in enumerate(words.split("|")):
            write(head, text, column * pictures.shape[1] // len(TITLES * 2) + 4, 212 + 15 * line)
    return np.vstack([head, pictures])


def bars(page: np.ndarray, metrics: dict[tuple[str, bool], list[float]]) -> None:
    """Response at others' joints over response at the target's, a bar a seed, in place."""
    top, floor, high = 44, 160, max(map(max, metrics.values()))
    write(
        page,
        "response at other people's joints / at the target's, three seeds: without ADAM grey, with ADAM red",
        8,
        18,
    )
    for group, way in enumerate(WAYS):
        left = 8 + group * page.shape[1] // 2
        for number, (without, adam) in enumerate(zip(metrics[way, False], metrics[way, True])):
            for which, (value, colour) in enumerate([(without, WITHOUT), (adam, WITH)]):
                x, y = left + 150 * number + 60 * which, round(floor - (floor - top) * value / high)
                cv2.rectangle(page, (x, y), (x + 52, floor), colour, -1)
                write(page, f"{value:.3f}", x + 6, y - 4)
        write(page, f"trained with {CAPTIONS[way]}", left, floor + 20)


def tile(scene: Scene, number: int, maps: Tensor | None) -> np.ndarray:
    """A crop, others' joints blue and the target's green; or greyed under its heatmaps."""
    pixels = denormalise(scene["image"][number : number + 1])[0].permute(1, 2, 0).clamp(0, 1).numpy()
    picture = cv2.resize((pixels * 255).astype(np.uint8), None, fx=ZOOM, fy=ZOOM)
    if maps is not None:
        heat = cv2.resize(maps.amax(0).clamp(0, 1).numpy(), picture.shape[1::-1])[..., None]
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None] * 0.6
        picture = (grey * (1 - heat) + np.array([255.0, 230, 0]) * heat).astype(np.uint8)
    xy = pixel_of((scene["xy"][number].double().numpy() + 0.5) * ZOOM - 0.5)
    for person, joint in scene["labelled"][number].nonzero().tolist():
        if person or maps is None:
            cv2.circle(picture, xy[person, joint].tolist(), 3, OTHERS if person else TARGET, 1, cv2.LINE_AA)
    return cv2.copyMakeBorder(picture, 1, 1, 1, 1, cv2.BORDER_CONSTANT)


def write(page: np.ndarray, text: str, x: int, y: int) -> None:
    cv2.putText(page, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)


def main(steps: int = 600, out: Path = Path("docs/adam.jpg")) -> None:
    torch.set_num_threads(1)
    params, models, metrics = load_params(PRESET), {}, {}
    with TemporaryDirectory() as name:
        caches = render(Path(name), params)
        chosen, scene = with_company(caches["train"])[1], held_out(caches["val"])
        print(f"{len(chosen)} crops to learn from, {len(scene['image'])} to look at: {len(scene['joints'])} joints")
        for way, adam, seed in product(WAYS, (False, True), SEEDS):
            model = train(caches["train"], chosen, params, adam=adam, way=way, seed=seed, steps=steps)
            found = look(model, scene)
            print(f"{way}, ADAM {adam}, seed {seed}:", ", ".join(f"{key} {value:.3f}" for key, value in found.items()))
            models[way, adam] = model
            metrics.setdefault((way, adam), []).append(found["other / own"])
    for way in WAYS:
        print(f"{way}: with / without {np.mean(metrics[way, True]) / np.mean(metrics[way, False]):.2f}, goal {GOAL}")
    shown = [models[key] for key in (("middle", False), ("middle", True), ("anyone", False), ("anyone", True))]
    jpeg = cv2.imencode(".jpg", draw(shown, scene, metrics)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    with whole_file(out) as partial:
        partial.write_bytes(jpeg.tobytes())


if __name__ == "__main__":
    typer.run(main)

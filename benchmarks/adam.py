"""Response of the target heatmaps at the joints of OTHER persons, without and with ADAM. Goal: half the response.

    python benchmarks/adam.py [--steps 600] [--out docs/adam.jpg]

Synthetic images; crops with two persons (a second person has six or more joints in the crop). `hrnet_tiny` without and
with ADAM (and its l_m), from scratch, equal batches and steps, three seeds, one thread, about 16 minutes. Two kinds of
training targets:

    middle: the target is the person whose bounding box the crop is, as in stage `train`;
    any: in every second sample the target is another person in the crop, and ADAM's centre is that person's. Only the
        centre indicates the target, so the model without ADAM has no information about it.

Metrics on held-out crops with the target in the middle, over joints of other persons that are at least 8 heatmap pixels
(four sigma) from the target's joint of the same name and from its mirrored one. `other` and `own` are the maximum
response within one heatmap pixel of the other person's joint and of the target's joint of the same name. `swapped` is
the fraction of these joints at which the other person's response is higher, `correct` the fraction of the target's
joints that are decoded within 10 input pixels. `other / own, other centre` is the ratio with ADAM's centre at the other
person: above 1, ADAM follows its centre.
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
MIN_JOINTS, MIN_DISTANCE, MAX_ERROR, STRIDE, BATCH = 6, 8.0, 10.0, 4, 64
SEEDS, TARGETS, GOAL = (0, 1, 2), ("middle", "any"), 0.5
OWN_COLOUR, OTHER_COLOUR, WITHOUT_ADAM, WITH_ADAM = (0, 220, 60), (60, 170, 255), (150, 150, 150), (220, 70, 40)
TITLES = [
    "target green|others blue",
    "middle|without",
    "middle|with",
    "any|without",
    "any|with",
    "any, with|other's centre",
]
CAPTIONS = {"middle": "the target in the middle", "any": "any person as the target, indicated by the centre"}
CROPS, ZOOM = 6, 1.5
Batch = dict[str, Tensor]


def render(folder: Path, params: Params) -> dict[str, Path]:
    """Render the default's images; returns a cache of clean crops for each split."""
    settings = params.render["synthetic"].model_dump()
    counts, workers = {split: settings.pop(split) for split in ("train", "val")}, Workers(2)
    write_synthetic(folder, counts, **settings, workers=workers)
    for split in counts:
        persons, _ = read_coco(
            folder / f"annotations/person_keypoints_{split}.json", dataset="synthetic", split="train", skeleton=COCO17,
            image_folder=split, source=Source.RENDERED,
        )  # fmt: skip
        annotations = folder / f"{split}.parquet"
        write_annotations(annotations, persons, COCO17)
        write_cache(  # no instance is pasted: any file serves as the pool
            folder / f"{split}_cache", annotations, annotations, folder, input_wh=params.data.input_wh, variants=0,
            margin=params.cache.margin, shard_mb=params.cache.shard_mb, paste={"p": 0}, seed=0, workers=workers,
            mask={**params.cache.mask_joints.model_dump(), "p": 0},
        )  # fmt: skip
    return {split: folder / f"{split}_cache" for split in counts}


def crops_with_others(cache: Path) -> tuple[PersonCrops, list[int]]:
    """Unaugmented crops, and the indices of those that show a second person."""
    crops = PersonCrops(cache, occluded=0.0, flip=0, rotation=0, rotation_p=0, scale=0, half_body=0, seed=0)
    return crops, [index for index in range(len(crops)) if has_joints(crops[index]["visibility"]).any()]


def has_joints(visibility: np.ndarray) -> np.ndarray:
    """`[P]`: True for persons other than the target with enough joints in the crop."""
    return ((visibility > 0).sum(-1) >= MIN_JOINTS) & (np.arange(len(visibility)) > 0)


def center_offset(xy: Tensor, visibility: Tensor) -> Tensor:
    """Vector from the crop's centre to the middle of a person's joints, in feature pixels."""
    labelled_xy = xy[visibility > 0]
    return ((labelled_xy.amin(0) + labelled_xy.amax(0)) / 2 / STRIDE).round().long() - torch.tensor([12, 16])


def swap_targets(batch: Batch, rng: np.random.Generator) -> Tensor:
    """Make another person the target of every second sample; returns the targets' centre offsets `[B, 2]`."""
    xy, visibility = batch["keypoints_input_xy"], batch["visibility"]
    offsets = torch.zeros(len(xy), 2, dtype=torch.long)
    for index in range(len(xy)):
        others = np.flatnonzero(has_joints(visibility[index].numpy()))
        if len(others) and rng.random() < 0.5:
            pair = [0, int(rng.choice(others))]
            xy[index, pair], visibility[index, pair] = xy[index, pair[::-1]], visibility[index, pair[::-1]]
            offsets[index] = center_offset(xy[index, 0], visibility[index, 0])
    return offsets


def train(cache: Path, chosen: list[int], params: Params, *, adam: bool, target: str, seed: int, steps: int) -> DagPose:
    """A shortened training of the default: its learning rates, augmentation and losses without the graph's."""
    torch.manual_seed(seed)
    settings, input_wh = params.train, params.data.input_wh
    model = build_model("hrnet_tiny", input_wh=input_wh, adam=adam, **params.attention.model_dump())
    crops = PersonCrops(cache, occluded=0.0, seed=seed, **settings.augment.model_dump())
    module = PoseTraining(
        model, input_wh=input_wh, **settings.loss.model_dump(), **settings.photometric.model_dump(), seed=seed,
        **settings.model_dump(include={"learning_rate", "warmup_steps", "milestones"}),
    )  # fmt: skip
    optimiser, order, epoch = module.configure_optimizers(), [], 0
    for step in range(steps):
        if len(order) < settings.batch_size:
            crops.set_epoch(epoch)
            order, epoch = np.random.default_rng((seed, epoch)).permutation(chosen).tolist(), epoch + 1
        batch = collate([crops[order.pop()] for _ in range(settings.batch_size)])
        offsets = model.draw_center_offsets(settings.batch_size, torch.Generator().manual_seed(step))
        if target == "any":
            target_offsets = swap_targets(batch, np.random.default_rng((seed, step)))
            offsets = None if offsets is None else offsets + target_offsets
        for group in optimiser.param_groups:
            group["lr"] = module.scheduled_learning_rate(settings.epochs * step // steps, step)
        optimiser.zero_grad()
        sum(module.weights[name] * loss for name, loss in module.losses(batch, offsets).items()).backward()  # type: ignore[union-attr]
        optimiser.step()
    return model.eval()


def held_out(cache: Path) -> Batch:
    """Test crops: `image`, `xy`, `labelled`, `joints` (crop, other person, joint), `other` person and its `offsets`."""
    crops, chosen = crops_with_others(cache)
    batch = collate([crops[index] for index in chosen])
    xy, labelled = batch["keypoints_input_xy"], batch["visibility"] > 0
    far = [
        (xy[:, 1:] - xy[:, :1, joints]).norm(dim=-1) / STRIDE > MIN_DISTANCE
        for joints in (slice(None), COCO17.flip_index)
    ]
    unlabelled = ~labelled[:, :1, COCO17.flip_index]
    joints = (labelled[:, 1:] & labelled[:, :1] & far[0] & (far[1] | unlabelled)).nonzero() + torch.tensor([0, 1, 0])
    other = labelled[:, 1:].sum(-1).argmax(1) + 1
    offsets = torch.stack(
        [center_offset(xy[index, person], labelled[index, person]) for index, person in enumerate(other)]
    )
    image = warp(batch["image"], batch["input_from_canvas"], (128, 96))
    return {"image": image, "xy": xy, "labelled": labelled, "joints": joints, "other": other, "offsets": offsets}


@torch.inference_mode()
def heatmaps(model: DagPose, batch: Batch, *, other_center: bool = False) -> Tensor:
    """Target heatmaps, with ADAM's centre at the target or at the other person."""
    parts = zip(batch["image"].split(BATCH), batch["offsets"].split(BATCH))
    return torch.cat([model(image, offsets if other_center else None).target for image, offsets in parts])


def evaluate(model: DagPose, batch: Batch) -> dict[str, float]:
    """The metrics of this benchmark."""
    crop, person, joint = batch["joints"].unbind(1)

    def response(maps: Tensor, persons: Tensor) -> Tensor:
        column, row = (batch["xy"][crop, persons, joint] / STRIDE).round().long().unbind(1)
        return max_pool2d(maps, 3, 1, 1).clamp(min=0)[crop, joint, row.clamp(max=31), column.clamp(max=23)]

    maps = heatmaps(model, batch)
    other, own = response(maps, person), response(maps, torch.zeros_like(person))
    metrics = {"own": own.mean(), "other": other.mean(), "other / own": other.mean() / own.mean()}
    error = (model.head.decode(maps, (128, 96))[0] - batch["xy"][:, 0]).norm(dim=-1)[batch["labelled"][:, 0]]
    metrics |= {"swapped": (other > own).float().mean(), "correct": (error < MAX_ERROR).float().mean()}
    if model.attention is not None:
        maps, same = heatmaps(model, batch, other_center=True), person == batch["other"][crop]
        other, own = response(maps, person)[same], response(maps, torch.zeros_like(person))[same]
        metrics["other / own, other centre"] = other.mean() / own.mean()
    return {name: float(value) for name, value in metrics.items()}


def draw(models: list[DagPose], batch: Batch, ratios: dict[tuple[str, bool], list[float]]) -> np.ndarray:
    """Bars, and crops under the maximum of each model's heatmaps; the last model also with the other centre."""
    joints_of_others = batch["labelled"][:, 1:].sum(-1).amax(1)
    chosen = (joints_of_others >= 12).nonzero()[:, 0]
    chosen = chosen[torch.linspace(0, len(chosen) - 1, CROPS).long()]
    maps = [heatmaps(model, batch) for model in models] + [heatmaps(models[-1], batch, other_center=True)]
    rows = [np.hstack([tile(batch, i, None), *(tile(batch, i, each[i]) for each in maps)]) for i in chosen.tolist()]
    tiles = np.hstack([np.vstack(rows[: CROPS // 2]), np.vstack(rows[CROPS // 2 :])])
    head = np.full((250, tiles.shape[1], 3), 255, np.uint8)
    bars(head, ratios)
    for column, title in enumerate(TITLES * 2):
        for line, text in enumerate(title.split("|")):
            write(head, text, column * tiles.shape[1] // len(TITLES * 2) + 4, 212 + 15 * line)
    return np.vstack([head, tiles])


def bars(page: np.ndarray, ratios: dict[tuple[str, bool], list[float]]) -> None:
    """Draw the ratio of responses (other persons' joints to the target's) in place, one bar per seed."""
    top, floor, high = 44, 160, max(map(max, ratios.values()))
    title = "response at other persons' joints / at the target's, three seeds: without ADAM grey, with ADAM red"
    write(page, title, 8, 18)
    for group, target in enumerate(TARGETS):
        left = 8 + group * page.shape[1] // 2
        for number, pair in enumerate(zip(ratios[target, False], ratios[target, True])):
            for which, (value, colour) in enumerate(zip(pair, (WITHOUT_ADAM, WITH_ADAM))):
                x, y = left + 150 * number + 60 * which, round(floor - (floor - top) * value / high)
                cv2.rectangle(page, (x, y), (x + 52, floor), colour, -1)
                write(page, f"{value:.3f}", x + 6, y - 4)
        write(page, f"trained with {CAPTIONS[target]}", left, floor + 20)


def tile(batch: Batch, index: int, maps: Tensor | None) -> np.ndarray:
    """A crop with others' joints in blue and the target's in green; with `maps`: grey, under its heatmaps."""
    pixels = denormalise(batch["image"][index : index + 1])[0].permute(1, 2, 0).clamp(0, 1).numpy()
    image = cv2.resize((pixels * 255).astype(np.uint8), None, fx=ZOOM, fy=ZOOM)
    if maps is not None:
        heat = cv2.resize(maps.amax(0).clamp(0, 1).numpy(), image.shape[1::-1])[..., None]
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] * 0.6
        image = (grey * (1 - heat) + np.array([255.0, 230, 0]) * heat).astype(np.uint8)
    xy = pixel_of((batch["xy"][index].double().numpy() + 0.5) * ZOOM - 0.5)
    for person, joint in batch["labelled"][index].nonzero().tolist():
        if person or maps is None:
            colour = OTHER_COLOUR if person else OWN_COLOUR
            cv2.circle(image, xy[person, joint].tolist(), 3, colour, 1, cv2.LINE_AA)
    return cv2.copyMakeBorder(image, 1, 1, 1, 1, cv2.BORDER_CONSTANT)


def write(page: np.ndarray, text: str, x: int, y: int) -> None:
    cv2.putText(page, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)


def main(steps: int = 600, out: Path = Path("docs/adam.jpg")) -> None:
    torch.set_num_threads(1)
    params, models, ratios = load_params(PRESET), {}, {}
    with TemporaryDirectory() as name:
        caches = render(Path(name), params)
        chosen, batch = crops_with_others(caches["train"])[1], held_out(caches["val"])
        print(f"{len(chosen)} training crops, {len(batch['image'])} test crops with {len(batch['joints'])} joints")
        for target, adam, seed in product(TARGETS, (False, True), SEEDS):
            model = train(caches["train"], chosen, params, adam=adam, target=target, seed=seed, steps=steps)
            metrics = evaluate(model, batch)
            line = ", ".join(f"{key} {value:.3f}" for key, value in metrics.items())
            print(f"target {target}, ADAM {adam}, seed {seed}: {line}")
            models[target, adam] = model
            ratios.setdefault((target, adam), []).append(metrics["other / own"])
    for target in TARGETS:
        ratio = np.mean(ratios[target, True]) / np.mean(ratios[target, False])
        print(f"target {target}: with / without {ratio:.2f}, goal {GOAL}")
    drawn = [models[target, adam] for target, adam in product(TARGETS, (False, True))]
    jpeg = cv2.imencode(".jpg", draw(drawn, batch, ratios)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    with whole_file(out) as partial:
        partial.write_bytes(jpeg.tobytes())


if __name__ == "__main__":
    typer.run(main)

"""Speed of evaluation against pycocotools, and of OKS-NMS and heatmap decoding against plain loops as in HRNet.

    python benchmarks/evaluation.py [--num-images 5000] [--persons 11000] [--results 104125] [--rounds 3]

Goals: 20 times as fast as pycocotools from json, 40 times as fast from loaded arrays; OKS-NMS 40 times as fast as a
plain loop over persons; flip test and decoding twice as fast as a loop over crops; strata and diagnosis add at most
10 s. Metrics, kept poses and coordinates must be equal. Times are medians.
"""

import contextlib
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import typer
from jaxtyping import Float
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dag.evaluation import Evaluation
from dag.evaluation.coco.arrays import Results
from dag.evaluation.coco.average_precision import average_precision
from dag.evaluation.coco.files import read_ground_truth, read_results
from dag.evaluation.metrics import all_metrics
from dag.files import write_json
from dag.inference.nms import oks_nms
from dag.models.heads.codecs import CODECS
from dag.skeleton import COCO17

SIGMAS = COCO17.sigma_array


def write_files(folder: Path, num_images: int, persons: int, results: int) -> None:
    """Write COCO annotations of random persons, and results near them."""
    rng = np.random.default_rng(0)
    image = np.sort(rng.integers(0, num_images, persons))
    box = np.column_stack([rng.uniform(0, 400, (persons, 2)), rng.uniform(30, 240, (persons, 2))])
    visibility = rng.integers(0, 3, (persons, 17)) * (rng.random((persons, 1)) < 0.8)
    xy = np.round(box[:, None, :2] + rng.random((persons, 17, 2)) * box[:, None, 2:])
    joints = np.where(visibility[..., None] > 0, np.concatenate([xy, visibility[..., None]], -1), 0).astype(int)
    annotations = [
        {
            "id": number + 1, "image_id": int(image[number]), "category_id": 1, "bbox": box[number].tolist(),
            "area": float(0.6 * box[number, 2:].prod()), "iscrowd": int(rng.random() < 0.02),
            "num_keypoints": int((visibility[number] > 0).sum()), "keypoints": joints[number].ravel().tolist(),
        }
        for number in range(persons)
    ]  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(COCO17.joints)}
    images = [{"id": number} for number in range(num_images)]
    write_json(folder / "ground_truth.json", {"images": images, "annotations": annotations, "categories": [category]})
    person = rng.integers(0, persons, results)
    predicted_xy = xy[person] + rng.normal(0, 1, (results, 17, 2)) * rng.exponential(15, (results, 1, 1))
    keypoints = np.round(np.concatenate([predicted_xy, rng.random((results, 17, 1))], -1), 3).reshape(results, -1)
    entries = zip(image[person].tolist(), keypoints.tolist(), rng.random(results).tolist())
    write_json(
        folder / "results.json",
        [{"image_id": i, "category_id": 1, "keypoints": joints, "score": score} for i, joints, score in entries],
    )


def seconds(step: Callable[[], Any], rounds: int = 1) -> tuple[float, Any]:
    """Median wall time of a step, and its return value."""
    times, value = [], None
    for _ in range(rounds):
        started = time.perf_counter()
        value = step()
        times.append(time.perf_counter() - started)
    return statistics.median(times), value


def pycocotools_loaded(folder: Path) -> tuple[Any, Any]:
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO(str(folder / "ground_truth.json"))
        return gt, gt.loadRes(str(folder / "results.json"))


def pycocotools_stats(gt: Any, results: Any) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation: Any = COCOeval(gt, results, "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return list(evaluation.stats)


def plain_nms(results: Results, area: Float[np.ndarray, " D"], threshold: float = 0.9) -> list[int]:
    """OKS-NMS as a loop over poses by descending score: a pose removes those of its image that are similar to it."""
    kept: list[int] = []
    for image in np.unique(results.image_id):
        in_image = np.flatnonzero(results.image_id == image)
        order = in_image[np.argsort(-results.score[in_image], kind="stable")]
        while len(order):
            best, rest = order[0], order[1:]
            kept.append(int(best))
            similarity = np.zeros(len(rest))
            for position, other in enumerate(rest):
                x, y = (results.keypoints_xy[best] - results.keypoints_xy[other]).T
                scale = (area[best] + area[other]) / 2 + np.spacing(1)
                exponent = (x**2 + y**2) / (SIGMAS * 2) ** 2 / scale / 2
                similarity[position] = np.sum(np.exp(-exponent)) / len(exponent)
            order = rest[similarity <= threshold]
    return kept


def loop_decode(
    plain: Float[np.ndarray, "B J H W"], flipped: Float[np.ndarray, "B J H W"]
) -> Float[np.ndarray, "B J 2"]:
    """Flip test and decoding crop by crop and joint by joint, in numpy: one-pixel shift, mean, quarter-pixel shift."""
    keypoints_xy = np.zeros((*plain.shape[:2], 2))
    for crop in range(len(plain)):
        back = flipped[crop, COCO17.flip_index, :, ::-1].copy()
        back[..., 1:] = back[..., :-1].copy()
        mean = (plain[crop] + back) * 0.5
        for joint, heatmap in enumerate(mean):
            y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
            peak_xy = np.array([x, y], dtype=float)
            if 1 < x < heatmap.shape[1] - 1 and 1 < y < heatmap.shape[0] - 1:
                slope = [heatmap[y, x + 1] - heatmap[y, x - 1], heatmap[y + 1, x] - heatmap[y - 1, x]]
                peak_xy += np.sign(slope) * 0.25
            keypoints_xy[crop, joint] = peak_xy
    return keypoints_xy


def decode_ratio(rounds: int, crops: int = 256) -> tuple[float, float, float]:
    """Seconds of the loop and of ours, and the maximum difference in heatmap pixels."""
    generator = torch.Generator().manual_seed(0)
    heatmaps = torch.rand((2, crops, 17, 64, 48), generator=generator)
    codec, flip_index = CODECS["msra"], torch.from_numpy(COCO17.flip_index)
    plain, flipped = heatmaps.numpy()

    @torch.inference_mode()
    def ours() -> torch.Tensor:
        batches = zip(heatmaps[0].split(64), heatmaps[1].split(64))
        means = (codec.mirror(mirrored, flip_index).add_(upright).div_(2) for upright, mirrored in batches)
        return torch.cat([codec.decode(mean, 2.0)[0] for mean in means])

    slow, theirs = seconds(lambda: loop_decode(plain, flipped), rounds)
    fast, keypoints_xy = seconds(ours, rounds)
    return slow, fast, float(np.abs(keypoints_xy.numpy() - theirs).max())


def main(num_images: int = 5000, persons: int = 11000, results: int = 104125, rounds: int = 3) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, num_images, persons, results)
        coco_loading, (coco_gt, coco_results) = seconds(lambda: pycocotools_loaded(folder), rounds)
        coco_evaluation, stats = seconds(lambda: pycocotools_stats(coco_gt, coco_results))
        gt_reading, (gt, skeleton) = seconds(lambda: read_ground_truth(folder / "ground_truth.json"), rounds)
        results_reading, poses = seconds(lambda: read_results(folder / "results.json", gt, skeleton), rounds)
    ours, metrics = seconds(lambda: average_precision(gt, poses, skeleton), rounds)
    everything, _ = seconds(lambda: all_metrics(Evaluation(gt, poses, skeleton)))
    difference = max(abs((value or 0) - other) for value, other in zip(metrics.values(), stats))
    area = np.full(len(poses), 150.0 * 200.0)
    plain, kept = seconds(lambda: plain_nms(poses, area))
    nms, fast_kept = seconds(lambda: oks_nms(poses, area, SIGMAS), rounds)
    slow, fast, pixels = decode_ratio(5 * rounds)
    from_json, coco_from_json = gt_reading + results_reading + ours, coco_loading + coco_evaluation
    print(f"{num_images} images, {persons} persons, {results} results, {torch.get_num_threads()} threads\n")
    print("| task, peer | peer, s | ours, s | ratio | goal | difference |\n|---|---|---|---|---|---|")
    for task, peer, own, goal, equality in (
        ("ten metrics from json, pycocotools", coco_from_json, from_json, 20, f"{difference:.0e}"),
        ("ten metrics from loaded data, pycocotools", coco_evaluation, ours, 40, f"{difference:.0e}"),
        ("OKS-NMS, plain loop", plain, nms, 40, "none" if kept == fast_kept.tolist() else "OTHER POSES KEPT"),
        ("flip test and decoding of 256 crops, loop", slow, fast, 2, f"{pixels:.0e} px"),
    ):
        print(f"| {task} | {peer:.3f} | {own:.3f} | {peer / own:.1f} | {goal} | {equality} |")
    print(f"\nall metrics, with strata, diagnosis and oracle AP: {everything:.1f} s (goal: at most 10 s more)")


if __name__ == "__main__":
    typer.run(main)

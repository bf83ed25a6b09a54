"""Benchmark of the review: 2,000 persons with 4,000 constructed proposals are opened in the App, decided and collected.

    PYTHONPATH=. python benchmarks/review.py [--persons 2000] [--others 20000]

Prints the seconds until the App answers and until a browser shows the queue (limit 30 s), the time until a decision is
on disk, and the time to collect all decisions (limit 10 s), also relative to Python's json reading and writing the same
lines. `--others`: persons without proposals, in other images; they are not loaded.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dag.annotation import PersonAnnotation, write_annotations
from dag.relabel.reviews import read_decisions
from dag.review.decisions import Joint, Label, make_decision
from dag.review.journal import append, collect
from dag.review.process import free_port
from dag.skeleton import COCO17

JOINTS = ("left_wrist", "right_ankle")
SERVE = """
import sys
from pathlib import Path
from dag.review.app import serve_review
folder, port = Path(sys.argv[1]), int(sys.argv[2])
paths = [folder / name for name in ("queue.parquet", "annotations.parquet", "photos", "reviews.jsonl")]
serve_review(*paths, dataset="made", reviewer="ann", port=port, state_dir=folder / "state", max_persons=10**6)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persons", type=int, default=2000)
    parser.add_argument("--others", type=int, default=20000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        persons = make(folder, arguments.persons, arguments.others)
        loaded, opened = time_opening(folder)
        print(f"{arguments.persons} persons and {arguments.others} others: the App answers after {loaded:.1f} s")
        print(f"a browser shows the queue {opened:.1f} s later: {opened / 30:.2f} of the limit of 30 s")
        time_deciding(folder, persons)


def make(folder: Path, number: int, others: int) -> list[PersonAnnotation]:
    """Write images of noise, annotations (two persons per image) and the queue (two proposals per person)."""
    rng = np.random.default_rng(1)
    persons = [a_person(index, rng) for index in range(number + others)]
    (folder / "photos").mkdir()
    noise = rng.integers(90, 140, (480, 640, 3), dtype=np.uint8)
    for image in range((number + 1) // 2):
        cv2.imwrite(str(folder / f"photos/{image}.jpg"), np.roll(noise, image, axis=1))
    write_annotations(folder / "annotations.parquet", persons, COCO17)
    proposals = [a_proposal(person, joint, rng) for person in persons[:number] for joint in JOINTS]
    pq.write_table(pa.Table.from_pylist(proposals), folder / "queue.parquet")
    return persons[:number]


def a_person(index: int, rng: np.random.Generator) -> PersonAnnotation:
    visibility = np.full(17, 2, dtype=np.int8)
    visibility[[COCO17.joints.index(joint) for joint in JOINTS]] = 0
    box = np.array([20.0 + 300 * (index % 2), 20.0, 280.0, 440.0])
    xy = (box[:2] + rng.random((17, 2)) * box[2:]) * (visibility > 0)[:, None]
    return PersonAnnotation(
        dataset="made", split="train", image_id=index // 2, image_path=f"{index // 2}.jpg", image_width=640,
        image_height=480, person_id=index, bbox_xywh=box, area=60000.0, is_crowd=False, keypoints_xy=xy,
        visibility=visibility, visibility_source=(visibility > 0).astype(np.int8), occluder=np.zeros(17, dtype=np.int8),
    )  # fmt: skip


def a_proposal(person: PersonAnnotation, joint: str, rng: np.random.Generator) -> dict:
    x, y = (person.bbox_xywh[:2] + rng.random(2) * person.bbox_xywh[2:]).tolist()
    row = {"split": "train", "image_id": person.image_id, "person_id": person.person_id, "joint": joint}
    row |= {"visibility_before": 0, "x": x, "y": y, "visibility": 3, "occluder": "object", "confidence": 0.4}
    row |= {"uncertainty": rng.random(), "disagreement": rng.random(), "sources": ["a", "b"], "reason": "made"}
    return row | {"decision": "queued"}


def time_opening(folder: Path) -> tuple[float, float]:
    """Seconds until the App answers, and from then until a headless Chromium shows images."""
    port, start = free_port("127.0.0.1"), time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(folder), str(port)], stdout=subprocess.PIPE, text=True)
    try:
        url = next(line.split()[4] for line in process.stdout or () if line.startswith("The App is at"))
        loaded = time.perf_counter() - start
        return loaded, time_browser(url, folder / "profile")
    finally:
        process.terminate()
        process.wait()


def time_browser(url: str, profile: Path) -> float:
    from tests.review.test_app import browser

    with browser(profile) as page:
        start = time.perf_counter()
        page.goto(url)
        page.locator('[data-cy="looker"]').first.wait_for(timeout=120_000)
        return time.perf_counter() - start


def time_deciding(folder: Path, persons: list[PersonAnnotation]) -> None:
    journal, reviews = folder / "state/review/made.jsonl", folder / "reviews.jsonl"
    annotated, proposed = Label(0.0, 0.0, 0, "unknown"), Label(10.0, 20.0, 3, "object")
    joints = [Joint(person.person_id, joint, annotated, proposed) for person in persons for joint in JOINTS]
    start = time.perf_counter()
    for joint in joints:
        append(journal, [make_decision(joint, "accept", replace(proposed, x=joint.person_id / 7), "ann")])
    each = (time.perf_counter() - start) / len(joints)
    lines = journal.read_text()
    start = time.perf_counter()
    collected = collect(reviews, journal)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    (folder / "peer.jsonl").write_text("".join(json.dumps(json.loads(line)) + "\n" for line in lines.splitlines()))
    peer = time.perf_counter() - start
    assert len(collected.decisions) == len(read_decisions(reviews)) == len(joints)
    print(f"a decision is on disk after {1000 * each:.2f} ms")
    print(f"collecting {len(joints)}: {seconds:.3f} s, {seconds / 10:.3f} of the limit of 10 s,")
    print(f"{seconds / peer:.1f} x the time of Python's json reading and writing the same lines")


if __name__ == "__main__":
    main()

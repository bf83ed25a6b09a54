"""Person rows and predictions -> a FiftyOne dataset, one sample a photograph. Rebuilt from files at every start."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np

from dag.errors import UserError
from dag.evaluation.occlusion import hidden_joints
from dag.evaluation.oks import oks
from dag.files import inside
from dag.person import Person
from dag.prediction import Prediction
from dag.review import labels
from dag.review.look import TRUTH_FIELDS, set_look
from dag.review.views import save_views
from dag.skeleton import Skeleton
from dag.stage import progress

RESERVED = (*TRUTH_FIELDS, "id", "filepath", "tags", "metadata", "image_id", "created_at", "last_modified_at")


def build_dataset(
    name: str,
    persons: Sequence[Person],
    predictions: Sequence[Prediction],
    skeleton: Skeleton,
    images_root: str | Path,
) -> fo.Dataset:
    """A dataset called `name` in the running database; one of that name is replaced.

    Fields of a sample: `ground_truth` and one field an output of `predictions` (`fo.Keypoints`, one label a person),
    `relabelled`, `boxes`, `segmentation`; `image_id`, `people` with keypoints, `occluded_share` of their labelled
    joints, number of `relabelled_joints`, `worst_oks` (lowest of a person, headline output).

    Args:
        persons: rows; crowd regions and people without keypoints get a box and no pose.
        predictions: of any outputs, each of a person in `persons`; may be empty.
        images_root: what `image_path` is relative to.

    Raises:
        UserError: a photograph is missing, person ids are not unique, or a prediction is of an unknown person.
    """
    by_key = {(person.image_id, person.person_id): person for person in persons}
    if len(by_key) < len(persons):
        found = f"{len(persons)} rows with {len(by_key)} ids"
        raise UserError("person ids are not unique", expected="one row an id", got=found, do="choose one split")
    poses = pose_labels(by_key, predictions, skeleton)
    photographs: dict[str, list[Person]] = defaultdict(list)
    for person in persons:
        photographs[person.image_path].append(person)
    files = {image_path: _photograph(images_root, image_path) for image_path in photographs}
    outputs = sorted({prediction.output for prediction in predictions})
    headline = headline_output(outputs)
    if fo.dataset_exists(name):
        fo.delete_dataset(name)
    dataset = fo.Dataset(name, persistent=True)
    _declare(dataset, outputs)
    shown = progress(photographs.items(), "loading photographs", total=len(photographs))
    samples = (_sample(files[image_path], people, poses, outputs, headline) for image_path, people in shown)
    # Everything was declared: nothing is left to find out sample by sample.
    dataset.add_samples(samples, expand_schema=False, validate=False, progress=False, num_samples=len(photographs))
    set_look(dataset, skeleton, outputs, headline)
    save_views(dataset)
    return dataset


def headline_output(outputs: Sequence[str]) -> str | None:
    """The output that `worst_oks` is of and that is shown at first: graph, else heatmap, else the first."""
    return next((output for output in ("graph", "heatmap", *outputs) if output in outputs), None)


def pose_labels(
    persons: Mapping[tuple[int, int], Person], predictions: Sequence[Prediction], skeleton: Skeleton
) -> dict[tuple[str, int, int], fo.Keypoint]:
    """Labels of predictions by output, image id and person id; `persons` by image id and person id.

    Raises:
        UserError: a person is unknown or predicted twice by one output, or an output has a name that is in use.
    """
    found: dict[tuple[str, int, int], fo.Keypoint] = {}
    for prediction in predictions:
        key = (prediction.image_id, prediction.person_id)
        where = f"prediction of output {prediction.output!r}, image {key[0]}, person {key[1]}"
        if key not in persons:
            raise UserError("no such person in the rows", where=where, do="run `dvc repro evaluate`, or give the split")
        if (prediction.output, *key) in found:
            raise UserError("predicted twice", where=where, expected="one prediction a person", do="evaluate again")
        if prediction.output in RESERVED or not prediction.output.isidentifier():
            raise UserError("bad name of an output", where=where, expected=f"a word, none of {', '.join(RESERVED)}")
        person = persons[key]
        similarity = oks(
            prediction.keypoints_xy, person.keypoints_xy, person.visibility, np.array(person.area), skeleton.sigma_array
        )
        distance = np.linalg.norm(prediction.keypoints_xy - person.keypoints_xy, axis=-1)
        distance[person.visibility == 0] = np.nan
        found[prediction.output, *key] = labels.prediction_label(person, prediction, float(similarity), distance)
    return found


def _photograph(images_root: str | Path, image_path: str) -> str:
    path = inside(images_root, image_path).resolve()
    if not path.is_file():
        raise UserError("missing image", where=path, do="check the data root and fetch the file again")
    return str(path)


def _declare(dataset: fo.Dataset, outputs: Sequence[str]) -> None:
    for field in ("ground_truth", "relabelled", *outputs):
        dataset.add_sample_field(field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Keypoints)
        dataset.add_sample_field(f"{field}.keypoints.person_id", fo.IntField)
    for field in outputs:
        for name in ("oks", "score"):
            dataset.add_sample_field(f"{field}.keypoints.{name}", fo.FloatField)
        dataset.add_sample_field(f"{field}.keypoints.error", fo.ListField, subfield=fo.FloatField)
    for field in ("ground_truth", "relabelled"):
        dataset.add_sample_field(f"{field}.keypoints.visibility", fo.ListField, subfield=fo.StringField)
    for field in ("ground_truth", "relabelled", *outputs):
        dataset.add_sample_field(f"{field}.keypoints.occluder", fo.ListField, subfield=fo.StringField)
    for field in ("boxes", "segmentation"):
        dataset.add_sample_field(field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
        dataset.add_sample_field(f"{field}.detections.person_id", fo.IntField)
    for field in ("image_id", "people", "relabelled_joints"):
        dataset.add_sample_field(field, fo.IntField)
    for field in ("occluded_share", *(["worst_oks"] if outputs else [])):
        dataset.add_sample_field(field, fo.FloatField)


def _sample(
    file: str,
    people: Sequence[Person],
    poses: Mapping[tuple[str, int, int], fo.Keypoint],
    outputs: Sequence[str],
    headline: str | None,
) -> fo.Sample:
    first = people[0]
    posed = [person for person in people if person.num_keypoints]
    fields: dict[str, Any] = {output: [] for output in outputs}
    for output, person in ((output, person) for output in outputs for person in people):
        fields[output] += [pose] if (pose := poses.get((output, person.image_id, person.person_id))) else []
    similarities = [pose["oks"] for pose in fields.get(headline or "", []) if pose["oks"] is not None]
    labelled = sum(person.num_keypoints for person in posed)
    hidden = sum(int(hidden_joints(person.visibility).sum()) for person in posed)
    masks = [labels.mask_label(person) for person in people]
    changed = [labels.relabelled_label(person) for person in people]
    return fo.Sample(
        filepath=file,
        tags=[first.split],
        metadata=fo.ImageMetadata(width=first.image_width, height=first.image_height, num_channels=3),
        image_id=first.image_id,
        people=len(posed),
        occluded_share=hidden / labelled if labelled else None,
        relabelled_joints=sum(int(labels.relabelled_joints(person).sum()) for person in people),
        **({"worst_oks": min(similarities, default=None)} if headline else {}),
        ground_truth=fo.Keypoints(keypoints=[labels.truth_label(person) for person in posed]),
        relabelled=fo.Keypoints(keypoints=[label for label in changed if label]),
        boxes=fo.Detections(detections=[labels.box_label(person) for person in people]),
        segmentation=fo.Detections(detections=[mask for mask in masks if mask]),
        **{output: fo.Keypoints(keypoints=fields[output]) for output in outputs},
    )

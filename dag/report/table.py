"""Headline metrics of experiments side by side, with bootstrap intervals, and paired differences from the first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from dag.report.bootstrap import Counts, interval, metrics

GROUPS = {
    "Poses": {
        "AP": "AP",
        "AP50": "AP at OKS .50",
        "AP75": "AP at OKS .75",
        "AR": "AR",
        "AP_M": "AP, persons of 32² to 96² pixels",
        "AP_L": "AP, persons of at least 96² pixels",
    },
    "Poses by occlusion and crowding": {
        "AP_occluded_none": "AP, no joint occluded",
        "AP_occluded_third": "AP, up to 1/3 of the joints occluded",
        "AP_occluded_two_thirds": "AP, 1/3 to 2/3 occluded",
        "AP_occluded_most": "AP, more than 2/3 occluded",
        "AP_most_occluded": "AP, most occluded third of the persons",
        "AP_easy": "AP, easy",
        "AP_medium": "AP, medium",
        "AP_moderate": "AP, moderate",
        "AP_hard": "AP, hard",
    },
    "Joints of persons with a prediction": {"PCK_visible": "PCK, visible", "PCK_occluded": "PCK, occluded"},
    "Errors, ratio to the joints of persons with a prediction (lower is better)": {
        "jitter": "jitter",
        "inversion": "inversion",
        "swap": "swap",
        "miss": "miss",
    },
}
"""Metrics of the table by group, in order, and their labels."""

Samples = Mapping[str, Float[np.ndarray, " B"]]


@dataclass(frozen=True)
class Cell:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Row:
    """One metric of every experiment.

    Attributes:
        numbers: number of persons or joints that it is computed from, by experiment.
        values: by experiment.
        differences: by experiment except the first: its value minus the first's.
    """

    metric: str
    label: str
    numbers: tuple[int, ...]
    values: tuple[Cell, ...]
    differences: tuple[Cell, ...]


def table(counts: Sequence[Counts], samples: Sequence[Samples]) -> dict[str, list[Row]]:
    """Rows by `GROUPS`; metrics without persons or joints are left out.

    Args:
        samples: of `resample(counts)`: the n-th sample of every experiment is of the same images.
    """
    whole = [metrics(one, np.ones(len(one.persons["AP"]))) for one in counts]
    rows = {
        group: [
            Row(metric, label, *_cells(metric, counts, whole, samples))
            for metric, label in labels.items()
            if all(metric in values and not np.isnan(values[metric]) for values in whole)
        ]
        for group, labels in GROUPS.items()
    }
    return {group: lines for group, lines in rows.items() if lines}


def _cells(
    metric: str, counts: Sequence[Counts], whole: Sequence[dict[str, float]], samples: Sequence[Samples]
) -> tuple[tuple[int, ...], tuple[Cell, ...], tuple[Cell, ...]]:
    values = [Cell(point[metric], *interval(drawn[metric])) for point, drawn in zip(whole, samples)]
    differences = [
        Cell(point[metric] - whole[0][metric], *interval(drawn[metric] - samples[0][metric]))
        for point, drawn in zip(whole[1:], samples[1:])
    ]
    return tuple(one.number(metric) for one in counts), tuple(values), tuple(differences)

"""Headline metrics of experiments side by side, with bootstrap intervals, and paired differences from the first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from dag.report.bootstrap import Counts, interval, metrics

GROUPS = {
    "Poses": {
        "AP": "AP",
        "AP50": "AP, right from OKS .50",
        "AP75": "AP, right from OKS .75",
        "AR": "AR",
        "AP_M": "AP, persons of 32² to 96² pixels",
        "AP_L": "AP, persons of more than 96² pixels",
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
    "Errors, fraction of the joints of persons with a prediction (lower is better)": {
        "jitter": "jitter",
        "inversion": "inversion",
        "swap": "swap",
        "miss": "miss",
    },
}
"""Metrics of the table, in its order, and what it calls them."""

Samples = Mapping[str, Float[np.ndarray, " B"]]


@dataclass(frozen=True)
class Cell:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """The interval does not hold 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Row:
    """One metric of every experiment.

    Attributes:
        numbers: number of persons or joints that it is computed from, for each experiment.
        values: of each experiment.
        differences: of each but the first: its value minus the first's.
    """

    metric: str
    label: str
    numbers: tuple[int, ...]
    values: tuple[Cell, ...]
    differences: tuple[Cell, ...]


def table(counts: Sequence[Counts], samples: Sequence[Samples]) -> dict[str, list[Row]]:
    """Rows by `GROUPS`; metrics without persons are left out.

    Args:
        samples: `resample` of `counts`: the n-th of every experiment is of the same images.
    """
    whole = [metrics(one, np.ones(len(one.persons["AP"]))) for one in counts]
    rows = {
        group: [
            Row(metric, label, *_cells(metric, counts, whole, samples))
            for metric, label in labels.items()
            if all(metric in found and not np.isnan(found[metric]) for found in whole)
        ]
        for group, labels in GROUPS.items()
    }
    return {group: found for group, found in rows.items() if found}


def _cells(
    metric: str, counts: Sequence[Counts], whole: Sequence[dict[str, float]], samples: Sequence[Samples]
) -> tuple[tuple[int, ...], tuple[Cell, ...], tuple[Cell, ...]]:
    values = [Cell(found[metric], *interval(drawn[metric])) for found, drawn in zip(whole, samples)]
    differences = [
        Cell(found[metric] - whole[0][metric], *interval(drawn[metric] - samples[0][metric]))
        for found, drawn in zip(whole[1:], samples[1:])
    ]
    return tuple(one.number(metric) for one in counts), tuple(values), tuple(differences)

"""Proposals compared with annotated locations: the OKS of a distance."""

from dag.relabel.evaluated_proposals import is_recovered


def test_recovery_follows_from_the_oks_of_a_distance() -> None:
    assert is_recovered(1.17)
    assert not is_recovered(1.18)
    assert not is_recovered(1.17, 0.75)

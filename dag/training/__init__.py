"""Training of pose models: the losses l_m and l_p; `dag.training.train` has the loop, which needs Lightning."""

from dag.training.loss import coordinate_loss, multi_person_loss

__all__ = ["coordinate_loss", "multi_person_loss"]

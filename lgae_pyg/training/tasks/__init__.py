"""What models are trained for: one Lightning module for each task of the models' contract."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from lgae_pyg.models import contract_of
from lgae_pyg.registry import check_keys, choose
from lgae_pyg.training.tasks.base import Task
from lgae_pyg.training.tasks.classification import ClassificationTask
from lgae_pyg.training.tasks.reconstruction import ReconstructionTask

#: Tasks by the name that a model declares (``Model.task``).
TASKS: dict[str, type[Task]] = {"reconstruction": ReconstructionTask, "classification": ClassificationTask}


def build_task(model: nn.Module, loss: Mapping[str, Any], **options: Any) -> Task:
    """The task that a model declares, around it.

    Args:
        model: the network.
        loss: the group ``loss`` of a configuration, arguments of the task's class.
        **options: ``optimizer``, ``schedule`` and the like, see :class:`Task`.

    Raises:
        ValueError: an unknown task, or a loss that it does not have.
    """
    kind = choose("task", contract_of(model).task, TASKS)
    own = sorted({key for one in TASKS.values() for key in one.loss_options} - set(kind.loss_options))
    given = {key: value for key, value in loss.items() if key not in own or value is not None}
    check_keys("loss", given, ("names", "weights", "space", *kind.loss_options))
    arguments = {"losses" if key == "names" else key: value for key, value in given.items()}
    return kind(model, **arguments, **options)


__all__ = ["TASKS", "ClassificationTask", "ReconstructionTask", "Task", "build_task"]

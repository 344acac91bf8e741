"""Training: a Lightning module for each task, exact resumption, Weights & Biases, Hydra configurations."""

from lgae_pyg.lazy import loaded_on_use

__all__ = ["ClassificationTask", "JetDataModule", "ReconstructionTask", "Task", "build_task", "train"]

# ``lgae train --help`` needs no Lightning
__getattr__, __dir__ = loaded_on_use(
    __name__,
    {
        "AutoencoderModule": "lgae_pyg.training.tasks.reconstruction",
        "ClassificationTask": "lgae_pyg.training.tasks",
        "JetDataModule": "lgae_pyg.training.data",
        "ReconstructionTask": "lgae_pyg.training.tasks",
        "Task": "lgae_pyg.training.tasks",
        "build_task": "lgae_pyg.training.tasks",
        "train": "lgae_pyg.training.run",
    },
)

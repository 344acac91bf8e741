"""Networks. They never see data sets, losses or training."""

from lgae_pyg.models.base import Autoencoder, Model, Tagger, contract_of, stated_unit
from lgae_pyg.models.behaviour import Behaviour
from lgae_pyg.models.cluster_ae import ClusterAE
from lgae_pyg.models.cnnae import CNNAE
from lgae_pyg.models.gnnae import GNNAE
from lgae_pyg.models.lgae import LGAE
from lgae_pyg.models.linear_ae import LinearAE
from lgae_pyg.models.registry import MODELS, build_model, check_config
from lgae_pyg.models.result import Images, Latent, Native, Reconstruction
from lgae_pyg.models.shell_lgae import ShellLGAE
from lgae_pyg.models.taggers.lgn import LGNClassifier
from lgae_pyg.models.taggers.lorentz_net import LorentzNet, LorentzNetBase
from lgae_pyg.models.taggers.particle_net import ParticleNet, ParticleNetLite
from lgae_pyg.models.taggers.peers import LGATrSlim, LLoCaTransformer, ParticleTransformer, Pelican
from lgae_pyg.models.taggers.pfn import PFN
from lgae_pyg.models.warm_start import warm_start_from_linear

__all__ = [
    "CNNAE",
    "GNNAE",
    "LGAE",
    "MODELS",
    "PFN",
    "Autoencoder",
    "Behaviour",
    "ClusterAE",
    "Images",
    "LGATrSlim",
    "LGNClassifier",
    "LLoCaTransformer",
    "Latent",
    "LinearAE",
    "LorentzNet",
    "LorentzNetBase",
    "Model",
    "Native",
    "ParticleNet",
    "ParticleNetLite",
    "ParticleTransformer",
    "Pelican",
    "Reconstruction",
    "ShellLGAE",
    "Tagger",
    "build_model",
    "check_config",
    "contract_of",
    "stated_unit",
    "warm_start_from_linear",
]

"""Layers, equivariant ones and those of the baselines, each usable beside PyG's own."""

from lgae_pyg.nn.edge_conv import ParticleNetConv
from lgae_pyg.nn.graph_net_conv import GraphNetConv
from lgae_pyg.nn.joint_batch_norm import JointBatchNorm
from lgae_pyg.nn.lmp_conv import LMPConv
from lgae_pyg.nn.lorentz_net_conv import LorentzNetConv
from lgae_pyg.nn.lorentz_patch import LorentzPatch, PairPatch
from lgae_pyg.nn.mix_reps import MixReps
from lgae_pyg.nn.radial import LorentzianBell
from lgae_pyg.nn.same_conv import DoublingConv2d, HalvingConv2d
from lgae_pyg.nn.scalar_mlp import ScalarMLP
from lgae_pyg.ops.graphs import complete_graph
from lgae_pyg.ops.jets import jet_sum

__all__ = [
    "DoublingConv2d",
    "GraphNetConv",
    "HalvingConv2d",
    "JointBatchNorm",
    "LMPConv",
    "LorentzNetConv",
    "LorentzPatch",
    "LorentzianBell",
    "MixReps",
    "PairPatch",
    "ParticleNetConv",
    "ScalarMLP",
    "complete_graph",
    "jet_sum",
]

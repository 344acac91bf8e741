"""Names that options are checked against before anything that takes long is imported."""

#: Units of momenta, each in GeV.
UNITS_IN_GEV = {"GeV": 1.0, "TeV": 1e3, "PeV": 1e6}
#: Units that files may have, in GeV.
FILE_UNITS = {"MeV": 1e-3, **UNITS_IN_GEV}
#: Formats of score files by their suffixes.
SCORE_FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".root": "root",
    ".npz": "npz",
}
#: Suffixes of exported taggers.
EXPORT_FORMATS = (".onnx", ".pt2")
#: Suffixes of decompressed jets; the folder of a store has none.
JET_FORMATS = ("", ".parquet", ".h5", ".hdf5", ".npz")
#: Modules of the studies of one model, in the order in which they are run and shown, each with its ``STUDY``.
STUDIES = {
    "reconstruction": "lgae_pyg.evaluation.reconstruction.study",
    "tagging": "lgae_pyg.evaluation.tagging.study",
    "robustness": "lgae_pyg.evaluation.robustness.study",
    "anomaly": "lgae_pyg.evaluation.anomaly.study",
    "latent": "lgae_pyg.evaluation.latent.study",
    "symmetry": "lgae_pyg.evaluation.symmetry.study",
    "generation": "lgae_pyg.evaluation.generation.study",
}
#: Parts of a data set.
SPLITS = ("train", "val", "test")
#: The convention of the studies: jets of gluons and light quarks together are QCD, which a model is trained on;
#: other jets are the signals.
QCD, SIGNALS = ("g", "q"), ("t", "w", "z")
#: The file that makes a folder a store of jets.
STORE_INDEX = "index.json"

"""Speed, memory and arithmetic of the models on this machine: what ``lgae bench`` runs.

A case is a model, a back-end, a precision, a number of particles and of jets. Each runs in a process of its own
(:mod:`~lgae_pyg.benchmark.worker`), several take turns (:mod:`~lgae_pyg.benchmark.schedule`), and what they
measure becomes tables (:mod:`~lgae_pyg.benchmark.tables`) and a figure (:mod:`~lgae_pyg.benchmark.figures`).
Nothing is imported here: the command line needs the names of the cases only.
"""

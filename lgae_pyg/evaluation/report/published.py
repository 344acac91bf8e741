"""Published numbers on JetNet: Hao et al., Eur. Phys. J. C 83 (2023) 485, arXiv:2212.07347, Tables 2, 3 and 4."""

from lgae_pyg.tables import Table

SOURCE = (
    "Published, on JetNet (gluon and light-quark jets to train on; top, W and Z as signals), trained on an RTX "
    "2080 Ti (LGAE typically 35, at most 100 hours; GNNAE-PL 50, GNNAE-JL 120, CNNAE 3): Hao et al., Eur. Phys. "
    "J. C 83 (2023) 485, arXiv:2212.07347. Other jets and other trainings: not comparable one to one."
)
_CNNAE = "The code of the CNNAE is 55/90 = 61.11 %; the paper prints 61.67 %."
_STATISTICS = ("median", "IQR")
#: What the tables print for a number below 0.001.
BOUND = "<0.001"

PARTICLES = Table(
    "published_particles",
    f"Table 2: median and IQR of the relative errors of the particle features. {SOURCE}",
    {"model": "model", "code": "code [%]"}
    | {f"{name}_{s}": f"{name} {s}" for name in ("pT_rel", "η_rel", "φ_rel") for s in _STATISTICS},
    (
        ("LGAE Min-Max τ=4", 56.67, 0.006, 0.562, 0.002, 1.8, 0.003, 1.8),
        ("LGAE Min-Max τ=7", 96.67, 0.002, 0.640, -0.627, 1.7, BOUND, 1.7),
        ("LGAE Mix τ=9", 61.67, BOUND, 0.011, BOUND, 0.452, BOUND, 0.451),
        ("LGAE Mix τ=13", 88.33, BOUND, 0.001, BOUND, 0.022, BOUND, 0.022),
        ("GNNAE-JL 45", 50.0, -0.983, 3.8, 0.363, 3.1, 0.146, 2.1),
        ("GNNAE-JL 90", 100.0, -0.627, 3.5, 4.4, 14.7, 0.146, 2.6),
        ("GNNAE-PL 2×30", 66.67, -0.053, 0.906, 0.009, 0.191, 0.013, 0.139),
        ("GNNAE-PL 3×30", 100.0, -0.040, 0.892, -0.037, 0.177, 0.005, 0.243),
    ),
)
JETS = Table(
    "published_jets",
    f"Table 3: median and IQR of the relative errors of the jet features. {_CNNAE} {SOURCE}",
    {"model": "model", "code": "code [%]"}
    | {f"{name}_{s}": f"{name} {s}" for name in ("mass", "pT", "η", "φ") for s in _STATISTICS},
    (
        ("LGAE Min-Max τ=4", 56.67, 0.096, 0.134, 0.097, 0.109, BOUND, 0.004, BOUND, 0.002),
        ("LGAE Min-Max τ=7", 96.67, -0.139, 0.287, -0.221, 0.609, BOUND, 0.021, BOUND, 0.007),
        ("LGAE Mix τ=9", 61.67, BOUND, 0.003, BOUND, BOUND, BOUND, BOUND, BOUND, BOUND),
        ("LGAE Mix τ=13", 88.33, BOUND, 0.003, BOUND, BOUND, BOUND, BOUND, BOUND, BOUND),
        ("GNNAE-JL 45", 50.0, 0.326, 0.667, 0.030, 0.088, 0.005, 0.040, 0.001, 0.021),
        ("GNNAE-JL 90", 100.0, 3.7, 2.6, 0.030, 0.089, 0.292, 0.433, 0.006, 0.021),
        ("GNNAE-PL 2×30", 66.67, 0.277, 0.299, 0.037, 0.110, 0.002, 0.010, -0.001, 0.005),
        ("GNNAE-PL 3×30", 100.0, 0.339, 0.244, 0.050, 0.094, -0.001, 0.011, BOUND, 0.005),
        ("CNNAE 55", 61.11, -0.030, 0.042, -0.021, 0.017, BOUND, 0.017, BOUND, 0.003),
    ),
)
ANOMALIES = Table(
    "published_anomalies",
    f"Table 4: QCD against top, W and Z together; ε_S(b): signal efficiency at background efficiency b. "
    f"{_CNNAE} {SOURCE}",
    {"model": "model", "code": "code [%]", "auc": "AUC", "e1": "ε_S(0.1)", "e2": "ε_S(0.01)", "e3": "ε_S(0.001)"},
    (
        ("LGAE Min-Max τ=2", 30.0, 0.7253, 0.5706, 0.1130, 0.0011),
        ("LGAE Min-Max τ=4", 56.67, 0.7627, 0.5832, 0.1305, 0.0007),
        ("LGAE Min-Max τ=7", 96.67, 0.7673, 0.5932, 0.0820, 0.0009),
        ("LGAE Mix τ=2", 15.0, 0.8023, 0.6178, 0.1662, 0.0250),
        ("LGAE Mix τ=4", 28.33, 0.8023, 0.6257, 0.1592, 0.0229),
        ("LGAE Mix τ=7", 48.33, 0.7967, 0.6290, 0.1562, 0.0225),
        ("GNNAE-JL 10", 11.11, 0.5891, 0.1576, 0.0161, 0.0014),
        ("GNNAE-JL 40", 44.44, 0.6636, 0.2293, 0.0262, 0.0013),
        ("GNNAE-JL 80", 88.89, 0.7006, 0.2240, 0.0239, 0.0010),
        ("GNNAE-PL 2×30", 66.67, 0.8195, 0.4435, 0.0564, 0.0042),
        ("GNNAE-PL 3×30", 100.0, 0.8095, 0.4306, 0.0762, 0.0044),
        ("CNNAE 55", 61.11, 0.7700, 0.2473, 0.0469, 0.0053),
    ),
)
PUBLISHED = (PARTICLES, JETS, ANOMALIES)

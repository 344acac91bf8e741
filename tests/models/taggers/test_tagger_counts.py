"""Parameters counted as published."""

import pytest

from lgae_pyg.models import PFN, LGNClassifier, LorentzNet, LorentzNetBase, ParticleNet, ParticleNetLite

FLOW = {"features": "energy_flow", "jet_widths": (100, 100, 100)}
COUNTS = [
    (lambda: LorentzNet(beams=True), 224_072),
    (lambda: LorentzNet(masses="none", extra_scalars=8, step=1e-3), 227_096),
    (lambda: LorentzNetBase(coordinates=True), 226_232),
    (lambda: LorentzNetBase(), 199_592),
    (lambda: LorentzNetBase(coordinates=True, pairs="mass"), 226_232 + 432),
    (lambda: LorentzNetBase(coordinates=True, friends="mass"), 226_232 + 37_346),
    (lambda: ParticleNet(), 366_160),
    (lambda: ParticleNet(features="logarithmic"), 365_578),
    (lambda: ParticleNet(fusion=True), 571_728),
    (lambda: ParticleNet(k=7, channels=((32,) * 3, (64,) * 3), hidden=(128,), fusion=True), 47_152),
    (lambda: ParticleNet(pairs="delta_r"), 366_160 + 34_908),
    (lambda: ParticleNet(friends="energy"), 366_160 + 21_968),
    (lambda: ParticleNetLite(), 26_416),
    (lambda: ParticleNetLite(features="logarithmic"), 26_122),
    (lambda: PFN(), 83_842),
    (lambda: PFN(particle_widths=(100, 100, 256), **FLOW), 82_458),
    (lambda: PFN(particle_widths=(100, 100, 128), **FLOW), 56_730),
    (lambda: PFN(friends="mass"), 83_842 + 26_192),
    (lambda: LGNClassifier(beams=True), 4_646),
    (lambda: LGNClassifier(), 4_642),
    (lambda: LGNClassifier(beams=True, readout="scalars"), 4_522),
    (lambda: LGNClassifier(beams=True, readout="last_scalars"), 4_486),
    (lambda: LGNClassifier(beams=True, momenta_input=True), 5_770),
    (lambda: LGNClassifier(beams=True, max_weight=1), 3_338),
]


@pytest.mark.parametrize(("make", "published"), COUNTS)
def test_parameters(make, published):
    assert sum(parameter.numel() for parameter in make().parameters()) == published

"""The authors' published models (arXiv:2308.07037): their networks in floating point, for reading and for measuring.

Weights are named as in nnaisense/bayesian-flow-networks, networks/. Sums of floats depend on machine, libraries and
batch, so what is coded with these models is decoded on the same machine only.
"""

from bfncodec.models.authors.configs import CONFIGS, Config
from bfncodec.models.authors.networks import Network
from bfncodec.models.authors.output import predict
from bfncodec.models.authors.store import build, card, load, published

__all__ = ["CONFIGS", "Config", "Network", "build", "card", "load", "predict", "published"]

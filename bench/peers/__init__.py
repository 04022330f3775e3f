"""What fastloss is compared with: each competitor once, as a user would write it.

A file for each; those whose package is not installed are left out.
"""

from importlib import import_module
from importlib.util import find_spec

from peers import ours
from peers.problem import KINDS, STREAMS, Peer, agree, elementwise_data, linear_data

__all__ = [
    "FASTLOSS",
    "KINDS",
    "PEERS",
    "STREAMS",
    "Peer",
    "agree",
    "elementwise_data",
    "linear_data",
]


OTHERS = "numpy", "numexpr", "scipy", "sklearn", "torch", "jax"


def _found() -> tuple[Peer, ...]:
    there = (name for name in OTHERS if find_spec(name) is not None)
    return ours.PEER, *(import_module(f"peers.with_{name}").PEER for name in there)


PEERS = _found()
FASTLOSS = PEERS[0]

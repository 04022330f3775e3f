"""Write tests/torch_2_13.json: what torch 2.13 gives for a grid of inputs.

Run ``python -m tests.pin_torch`` where torch is installed; the tests compare with the file
everywhere, and with torch itself where it is installed.
"""

import itertools
import json
import math
from pathlib import Path

PINNED = Path(__file__).with_name("torch_2_13.json")

LOSSES = [
    ("SmoothL1Loss", {"beta": 1.0}),
    ("SmoothL1Loss", {"beta": 0.3}),
    ("SmoothL1Loss", {"beta": 0.0}),
    ("HuberLoss", {"delta": 1.0}),
    ("HuberLoss", {"delta": 0.7}),
    ("HuberLoss", {"delta": math.inf}),
    ("L1Loss", {}),
    ("MSELoss", {}),
]
REDUCTIONS = ["none", "mean", "sum"]
# Numbers that float32 holds exactly, so that both sides start from the same.
INPUTS = [0.0, 0.25, -0.25, 1.0, -1.0, 0.296875, 0.703125, 3.5, -1000.0, 2.0**-30, 2.0**20]
TARGETS = [0.0, 0.0, 0.125, 0.0, 0.5, 0.0, 0.0, -2.25, 1000.0, 0.0, 1.5]


def by_torch(name, parameters, reduction, dtype):
    import torch

    x = torch.tensor(INPUTS, dtype=getattr(torch, dtype), requires_grad=True)
    y = torch.tensor(TARGETS, dtype=getattr(torch, dtype))
    value = getattr(torch.nn, name)(reduction=reduction, **parameters)(x, y)
    value.sum().backward()
    return {"value": value.tolist(), "grad": x.grad.tolist()}


def cases():
    return itertools.product(LOSSES, REDUCTIONS, ["float32", "float64"])


def key(name, parameters, reduction, dtype):
    return " ".join([name, *map(str, parameters.values()), reduction, dtype])


if __name__ == "__main__":
    pinned = {
        key(*loss, reduction, dtype): by_torch(*loss, reduction, dtype)
        for loss, reduction, dtype in cases()
    }
    PINNED.write_text(json.dumps(pinned, indent=0) + "\n")

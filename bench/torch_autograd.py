"""fastloss.torch against torch.nn: forward and backward pass of a training step, in turn.

Exit status 1 where smooth L1 of 10,000,000 float32, reduced to its mean, is not at least four times
as fast as torch's.
"""

import argparse
import statistics
import sys

import torch
from compare import interleave, machine
from rich.console import Console
from rich.table import Table

import fastloss.torch

SIZES = [1_000, 100_000, 10_000_000]
ROUNDS = 51
REQUIRED = 4.0  # times torch at the largest size
LOSSES = ["SmoothL1Loss", "HuberLoss", "L1Loss", "MSELoss"]


class Step:
    """A forward and a backward pass, over a leaf of its own: each frees the memory it allocated."""

    def __init__(self, loss, prediction, target):
        self.loss, self.target = loss, target
        self.prediction = prediction.detach().requires_grad_()

    def __call__(self):
        self.prediction.grad = None
        self.loss(self.prediction, self.target).backward()


def figures(name: str, n: int, rounds: int) -> tuple[float, float, float]:
    """Give the median seconds of ours and of theirs, and the median ratio of a round.

    Their gradients are compared first.
    """
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, n, generator=generator)
    steps = {
        module.__name__: Step(getattr(module, name)(), prediction, target)
        for module in (fastloss.torch, torch.nn)
    }
    for call in steps.values():
        call()
    gradients = [call.prediction.grad for call in steps.values()]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=0.0)
    del gradients
    ours, theirs = interleave(steps, rounds).values()
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(ours), statistics.median(theirs), statistics.median(ratios)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default %(default)s")
    given = parser.parse_args()
    rows = {(name, n): figures(name, n, given.rounds) for name in LOSSES for n in SIZES}
    about = machine()
    table = Table(
        title=f"{about['cpu']}, {about['threads']} threads, torch {torch.__version__} on "
        f"{torch.get_num_threads()}; median of {given.rounds}",
        caption="forward and backward pass, mean of float32; ratio: the median over the rounds",
    )
    for column in ("", "elements", "fastloss, ms", "torch, ms", "ratio"):
        table.add_column(column, justify="right" if column else "left")
    for (name, n), (ours, theirs, ratio) in rows.items():
        table.add_row(name, f"{n:,}", f"{ours * 1e3:.3f}", f"{theirs * 1e3:.3f}", f"{ratio:.2f}")
    console = Console()
    Console(width=max(console.width, 120)).print(table)
    ratio = rows["SmoothL1Loss", max(SIZES)][2]
    if ratio < REQUIRED:
        print(f"SmoothL1Loss: {ratio:.2f} times torch, under {REQUIRED}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

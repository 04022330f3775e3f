"""Draw docs/figures/losses.svg: smooth L1 and its gradient beside L1 and squared error.

Run ``python docs/plot_losses.py`` with the extra ``docs`` installed.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import fastloss as fl

BETAS = [0.5, 1.0, 2.0]


def curves():
    yield "L1", fl.L1Loss(reduction="none"), {"color": "0.55", "linestyle": "--"}
    # Half the squared error, which smooth L1 with beta = 1 equals near 0.
    half_square = fl.HuberLoss(reduction="none", delta=np.inf)
    yield "L2 / 2", half_square, {"color": "0.55", "linestyle": ":"}
    for beta, color in zip(BETAS, ["#1b9e77", "#d95f02", "#7570b3"], strict=True):
        loss = fl.SmoothL1Loss(reduction="none", beta=beta)
        yield f"smooth L1, beta = {beta:g}", loss, {"color": color, "linewidth": 2}


def main():
    residual = np.linspace(-3, 3, 601)
    plt.rcParams["svg.hashsalt"] = "fastloss"  # the same file each time
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for label, loss, style in curves():
        value, grad = loss.value_and_grad(residual, np.zeros_like(residual))
        left.plot(residual, value, label=label, **style)
        right.plot(residual, grad, label=label, **style)
    left.set(title="loss", xlabel="residual", ylim=(-0.1, 3.1))
    right.set(title="gradient", xlabel="residual", ylim=(-1.6, 1.6))
    left.legend(loc="upper center", fontsize=9)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    path = Path(__file__).parent / "figures" / "losses.svg"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    print(path)


if __name__ == "__main__":
    main()

"""Which way leads to the minimum of a loss."""

from typing import TYPE_CHECKING

from fastloss.definition import is_auto
from fastloss.fitting import auto_threshold, by_scipy, saddle, thresholds
from fastloss.fitting.search import Search
from fastloss.fitting.steps import Steps
from fastloss.fitting.thresholds import threshold_of
from fastloss.fitting.turning import Turn
from fastloss.formulas import SquaredError
from fastloss.loss import Loss, at_scale
from fastloss.optimize import LinearObjective

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult


def minimise(
    squares: LinearObjective, loss: Loss, method: str, tol: float, steps: Steps
) -> "OptimizeResult":
    """Minimise a loss of a model, whose objective of squared errors is given.

    In other coordinates than those of X's columns where these are too nearly dependent.
    """
    search = Search(squares, method, tol, steps)
    turn = None if search.gram is None else Turn.of(squares, search.frame, search.gram)
    turned = None if turn is None else turn.applied(squares)
    if turn is None or turned is None:
        return _minimise(search, loss)
    steps.back = turn.back
    return turn.restored(squares, _minimise(Search(turned, method, tol, steps), loss))


def _minimise(search: Search, loss: Loss) -> "OptimizeResult":
    if not search.w.size:
        search.converged = True
        loss = at_scale(loss, search.scale()) if is_auto(loss) else loss
    elif is_auto(loss):
        loss = auto_threshold.minimise(search, loss)
    elif not search.newton:
        if by_scipy.METHODS[search.method] is not None and threshold_of(loss) == 0:
            raise ValueError(
                f"method must not be {search.method!r} for {loss!r}, which has no curvature: "
                "'auto' finds its minimum"
            )
        by_scipy.minimise(search, search.squares.with_loss(loss))
    elif threshold_of(loss) is not None:
        thresholds.minimise(search, loss)
    else:
        search.descend(loss)
        if type(loss.formula) is not SquaredError:
            saddle.leave(search, loss)
    return search.result(loss)

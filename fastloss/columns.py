"""The columns of a table that a model is made of: which they are, and in what precision."""

from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches

# Column names that an error lists.
LISTED = 10


def choose(
    source: object,
    names: Sequence[str],
    target: str,
    features: Sequence[str] | None,
    weight: str | None = None,
) -> list[str]:
    """Check the names that were asked for.

    Parameters
    ----------
    source : object
        The file, for messages.
    names : sequence of str
        The columns it has.
    target : str
        The column to predict.
    features : sequence of str, optional
        The columns to predict it from; default all others, in the order of ``names``.
    weight : str, optional
        The column of weights.

    Returns
    -------
    list of str
        The features.

    Raises
    ------
    TypeError
        If a name is not a string, or ``features`` is one, whose letters are names too.
    ValueError
        If a name is unknown, given twice or found twice, or there are no features.
    """
    if isinstance(features, str):
        raise TypeError(f"features must be a sequence of names, got the string {features!r}")
    roles = {"target": target} if weight is None else {"target": target, "weight": weight}
    if target == weight:
        raise ValueError(f"the target {target!r} is the weight too")
    others = [name for name in names if name not in roles.values()]
    chosen = others if features is None else list(features)
    asked = (*roles.values(), *chosen)
    for role, name in (*roles.items(), *(("features", name) for name in chosen)):
        if not isinstance(name, str):
            raise TypeError(f"{role} must be the name of a column, got {name!r}")
    _check_known(source, names, asked)
    for role, name in roles.items():
        if name in chosen:
            raise ValueError(f"the {role} {name!r} is among the features")
    for name, count in Counter(chosen).items():
        if count > 1 and features is not None:
            raise ValueError(f"the feature {name!r} is given {count} times")
    _check_single(source, names, asked)
    if not chosen:
        beside = " and ".join(f"the {role} {name!r}" for role, name in roles.items())
        raise ValueError(f"no features: {source} must have a column besides {beside}")
    return chosen


def check_once(source: object, names: Sequence[str], asked: Sequence[str]) -> None:
    """Raise ValueError unless each name that is asked for is that of one column."""
    _check_known(source, names, asked)
    _check_single(source, names, asked)


def _check_known(source: object, names: Sequence[str], asked: Sequence[str]) -> None:
    there = set(names)
    for name in asked:
        if name not in there:
            raise ValueError(_unknown(source, name, names))


def _check_single(source: object, names: Sequence[str], asked: Sequence[str]) -> None:
    found = Counter(names)
    for name in asked:
        if found[name] > 1:
            raise ValueError(f"{source} has {found[name]} columns called {name!r}")


def _unknown(source: object, name: str, names: Sequence[str]) -> str:
    spelled = {n.casefold(): n for n in names}
    near = get_close_matches(name.casefold(), spelled, n=1)
    guess = f", did you mean {spelled[near[0]]!r}?" if near else ""
    listed = ", ".join(repr(n) for n in names[:LISTED])
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{source} has no column {name!r}{guess} (it has {listed or 'no columns'}{more})"

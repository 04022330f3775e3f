"""Models that ``fit --output`` has written, read as what anybody may have written."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from fastloss.cli.errors import CommandError, reading
from fastloss.cli.model import FORMAT, INTERCEPT
from fastloss.cli.values import WITH_THRESHOLD, WITHOUT_THRESHOLD, shown

# A model of a million features has 40 MB.
LARGEST = 100_000_000
LOSSES = (*WITH_THRESHOLD, *WITHOUT_THRESHOLD)


@dataclass(frozen=True, slots=True)
class Model:
    """What predicting needs of a model."""

    coefficients: Mapping[str, float]
    """By feature, in the order of the fit."""
    intercept: float


class Rule(NamedTuple):
    """What the value of a key must be."""

    words: str
    holds: Callable[[Any], bool]


def load(path: Path) -> Model:
    """Read a model.

    Parameters
    ----------
    path : Path
        What ``fit --output`` has written.

    Returns
    -------
    Model

    Raises
    ------
    CommandError
        If it is not a model of this format, saying which key is wrong and what it must be.
    """
    with reading(path):
        if (size := path.stat().st_size) > LARGEST:
            raise CommandError(f"{path} has {shown(size)}, but a model at most {shown(LARGEST)}")
        text = path.read_bytes().decode("utf-8")
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_not_finite)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{path} is not a model: {error}") from None
    try:
        _check(found)
    except ValueError as error:
        raise CommandError(
            f"{path} is not a model that fit --output has written: {error}"
        ) from None
    coefficients = {name: float(value) for name, value in found["coefficients"].items()}
    intercept = coefficients.pop(INTERCEPT) if found["fit_intercept"] else 0.0
    if not coefficients:
        raise CommandError(f"{path} is a model without features")
    return Model(coefficients, intercept)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"it has the key {key!r} twice")
        found[key] = value
    return found


def _not_finite(text: str) -> NoReturn:
    raise ValueError(f"{text} is no finite number")


def _check(found: Any) -> None:
    if not isinstance(found, dict):
        raise ValueError(f"it must be one JSON object, got {_kind(found)}")
    # Another format may have other keys: what it is comes first.
    for key, rule in RULES.items():
        if key not in found:
            raise ValueError(f"the key {key!r} is missing, which must be {rule.words}")
        if not rule.holds(found[key]):
            raise ValueError(f"{key!r} must be {rule.words}, got {_kind(found[key])}")
    for key in found:
        if key not in RULES:
            raise ValueError(f"the key {key!r} is unknown, allowed are {', '.join(RULES)}")
    for name, value in found["coefficients"].items():
        if not _is_finite(value):
            raise ValueError(
                f"the coefficient of {name!r} must be a finite number, got {_kind(value)}"
            )
    if found["fit_intercept"] and INTERCEPT not in found["coefficients"]:
        raise ValueError(f"'coefficients' must have {INTERCEPT!r}, as 'fit_intercept' is true")


def _kind(value: Any) -> str:
    """Say what a value is, without the whole of it."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


FINITE = Rule("a finite number", _is_finite)
SIZE = Rule("an integer of at least 0", _is_size)
NOTHING_OR_LENGTH = Rule(
    "null or a finite number of at least 0",
    lambda value: value is None or (_is_finite(value) and value >= 0),
)
YES_OR_NO = Rule("true or false", lambda value: isinstance(value, bool))
RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "format": Rule(f"{FORMAT}", lambda value: type(value) is int and value == FORMAT),
        "coefficients": Rule("an object of numbers", lambda value: isinstance(value, dict)),
        "fit_intercept": YES_OR_NO,
        "loss": Rule(f"one of {', '.join(LOSSES)}", lambda value: value in LOSSES),
        "beta": NOTHING_OR_LENGTH,
        "fun": FINITE,
        "scale": NOTHING_OR_LENGTH,
        "n_rows": SIZE,
        "n_dropped": SIZE,
        "n_outliers": Rule(
            "null or an integer of at least 0", lambda value: value is None or _is_size(value)
        ),
        "n_iter": SIZE,
        "success": YES_OR_NO,
        "message": Rule("text", lambda value: isinstance(value, str)),
    }
)

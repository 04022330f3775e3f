import json
from pathlib import Path
from typing import NamedTuple

import pytest

from fastloss.cli import main

STACKLOSS = Path(__file__).parents[2] / "docs" / "data" / "stackloss.csv"


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def model(self):
        return json.loads(self.out)


@pytest.fixture
def run(capsys):
    """Run the command line in this process."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def refused(run):
    """Run what cannot be done; give the one line that says so."""

    def refused(*arguments):
        code, out, err = run(*arguments)
        assert code == 2
        assert out == ""
        assert len(err.splitlines()) == 1
        assert err.endswith("\n")
        assert err.startswith("fastloss: error: ")
        return err

    return refused


@pytest.fixture
def stackloss():
    return STACKLOSS


@pytest.fixture
def csv(tmp_path):
    """Write text to a CSV file."""

    def csv(text, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return csv


@pytest.fixture
def described():
    """A model as ``fit --output`` writes it: y = 1 + 2 a."""
    return {
        "format": 1,
        "coefficients": {"intercept": 1.0, "a": 2.0},
        "fit_intercept": True,
        "loss": "huber",
        "beta": 1.5,
        "fun": 0.25,
        "scale": 1,
        "n_rows": 10,
        "n_dropped": 0,
        "n_outliers": None,
        "n_iter": 3,
        "success": True,
        "message": "converged",
    }


@pytest.fixture
def model(described, tmp_path):
    path = tmp_path / "given.json"
    path.write_text(json.dumps(described))
    return path

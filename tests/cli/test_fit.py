"""`fastloss fit` from arguments to exit code."""

import functools
import json
import os
import signal
import stat
import subprocess
import sys
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import fastloss
from fastloss.cli import tables

# MASS::rlm(stack.loss ~ ., stackloss) in R, to the digits of its summary.
RLM = {"intercept": -41.0265, "Air.Flow": 0.8294, "Water.Temp": 0.9261, "Acid.Conc.": -0.1278}
KEYS = [
    *("format", "coefficients", "fit_intercept", "loss", "beta", "fun", "scale"),
    *("n_rows", "n_dropped", "n_outliers", "n_iter", "success", "message"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Points near y = 1 + 2 a - b, and two far from it."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 10))
    y = 1 + 2 * a - b + 0.1 * rng.normal(size=10)
    y[[3, 7]] += 8
    path = tmp_path_factory.mktemp("data") / "data.csv"
    rows = np.column_stack((a, b, y)).tolist()
    path.write_text("a,b,y\n" + "".join(f"{u!r},{v!r},{w!r}\n" for u, v, w in rows))
    return path


@pytest.fixture(scope="module")
def arrays(data):
    return np.loadtxt(data, delimiter=",", skiprows=1)


def test_stackloss_as_in_r(run, stackloss):
    ran = run("fit", stackloss, "--target", "stack.loss", "--beta", "auto", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.count("\n") == 1
    model = ran.model
    assert list(model) == KEYS
    assert model["coefficients"] == pytest.approx(RLM, abs=6e-4)
    assert list(model["coefficients"]) == list(RLM)
    assert model["beta"] == pytest.approx(1.345 * model["scale"])
    assert model["scale"] == pytest.approx(2.441, abs=6e-4)
    assert (model["loss"], model["success"]) == ("smooth_l1", True)
    assert (model["n_rows"], model["n_dropped"]) == (21, 0)


@pytest.mark.parametrize("kind", ["parquet", "npy", "structured", "npz"])
def test_stackloss_in_other_formats(run, stackloss, tmp_path, kind):
    table = pa.csv.read_csv(stackloss)
    names = table.column_names
    columns = {name: table[name].to_numpy() for name in names}
    path = tmp_path / f"data.{'npy' if kind == 'structured' else kind}"
    if kind == "parquet":
        pq.write_table(table, path)
    elif kind == "npy":
        np.save(path, np.column_stack(list(columns.values())))
        names = ["0", "1", "2", "3"]
    elif kind == "structured":
        array = np.empty(21, [(name, "f8") for name in names])
        for name, column in columns.items():
            array[name] = column
        np.save(path, array)
    else:
        np.savez(path, X=np.column_stack([columns[n] for n in names[:3]]), y=columns[names[3]])
        names = ["X0", "X1", "X2", "y"]
    model = run("fit", path, "--target", names[3], "--beta", "auto", "--json").model
    expected = dict(zip(["intercept", *names[:3]], RLM.values(), strict=True))
    assert model["coefficients"] == pytest.approx(expected, abs=6e-4)
    here = run("fit", stackloss, "--target", "stack.loss", "--beta", "auto", "--json").model
    assert model["fun"] == pytest.approx(here["fun"], rel=1e-9)


@pytest.mark.parametrize(
    ("options", "loss", "l2", "threshold"),
    [
        ([], fastloss.SmoothL1Loss(), 0.0, 1.0),
        (["--beta", "2.5"], fastloss.SmoothL1Loss(beta=2.5), 0.0, 2.5),
        (["--beta", "0"], fastloss.SmoothL1Loss(beta=0.0), 0.0, 0.0),
        (["--l2", "0.5"], fastloss.SmoothL1Loss(), 0.5, 1.0),
        (["--loss", "huber", "--beta", "2"], fastloss.HuberLoss(delta=2.0), 0.0, 2.0),
        (["--loss", "l1"], fastloss.L1Loss(), 0.0, None),
        (["--loss", "mse"], fastloss.MSELoss(), 0.0, None),
    ],
)
def test_options_reach_the_fit(run, data, arrays, options, loss, l2, threshold):
    ran = run("fit", data, "--target", "y", "--json", *options)
    X, y = arrays[:, :2], arrays[:, 2]
    expected = fastloss.fit(X, y, loss, l2=l2)
    assert ran.code == (0 if expected.success else 1)
    model = ran.model
    assert model["success"] is expected.success
    assert list(model["coefficients"].values()) == pytest.approx(
        [expected.intercept, *expected.coef], rel=1e-9
    )
    assert model["loss"] == (options[1] if "--loss" in options else "smooth_l1")
    assert model["fun"] == pytest.approx(expected.fun)
    assert model["beta"] == threshold
    if threshold is None:
        assert model["n_outliers"] is None
    else:
        residuals = X @ expected.coef + expected.intercept - y
        # With the threshold 0, residuals that are 0 but for rounding count or do not.
        rounding = 1e-9 if threshold == 0 else 0.0
        beyond = (np.abs(residuals) > threshold + rounding).sum()
        assert 2 <= beyond <= model["n_outliers"] <= beyond + 3 * (threshold == 0)


def test_without_an_intercept(run, data, arrays):
    model = run("fit", data, "--target", "y", "--no-intercept", "--json").model
    assert list(model["coefficients"]) == ["a", "b"]
    expected = fastloss.fit(arrays[:, :2], arrays[:, 2], fit_intercept=False)
    assert list(model["coefficients"].values()) == pytest.approx(expected.coef, rel=1e-9)


def test_chosen_features(run, data):
    model = run("fit", data, "--target", "y", "--features", "b", "--json").model
    assert list(model["coefficients"]) == ["intercept", "b"]


def test_a_feature_with_a_comma(run, csv):
    path = csv('"a,b",c,y\n1,2,3\n2,1,4\n4,4,4\n')
    ran = run("fit", path, "--target", "y", "--features", '"a,b",c', "--json")
    assert list(ran.model["coefficients"]) == ["intercept", "a,b", "c"]


def test_rows_are_dropped_and_counted(run, data, csv):
    lines = data.read_text().splitlines()
    lines[2:2] = ["1,,2", "nan,1,2"]
    lines.append("1,2,inf")
    path = csv("\n".join(lines))
    ran = run("fit", path, "--target", "y", "--drop-missing", "--json")
    whole = run("fit", data, "--target", "y", "--json").model
    # Another memory layout of the same rows may round the last digit of a product otherwise.
    model = ran.model
    coefficients = model.pop("coefficients")
    assert coefficients == pytest.approx(whole.pop("coefficients"), rel=1e-12)
    for name in ("fun", "scale", "beta"):
        assert model.pop(name) == pytest.approx(whole.pop(name), rel=1e-12)
    assert model == {**whole, "n_dropped": 3}
    out = run("fit", path, "--target", "y", "--drop-missing").out
    assert "rows dropped" in out
    assert "rows dropped" not in run("fit", data, "--target", "y").out


def test_the_tables(run, data):
    code, out, err = run("fit", data, "--target", "y")
    assert (code, err) == (0, "")
    model = run("fit", data, "--target", "y", "--json").model
    lines = [line.split() for line in out.splitlines()]
    shown = {line[0]: line[1] for line in lines if len(line) == 2}
    for name, value in model["coefficients"].items():
        assert float(shown[name]) == pytest.approx(value, rel=1e-7)
    assert shown["rows"] == "10"
    assert shown["iterations"] == str(model["n_iter"])
    assert shown["converged"] == "yes"
    assert ["loss", "smooth_l1,", "beta", "1"] in lines
    assert ["outliers", "2", "(20.00%)"] in lines
    names = [line[0] for line in lines if line]
    assert names.index("intercept") < names.index("a") < names.index("b")
    assert "per second" in out


def test_the_threshold_of_huber_is_delta(run, data):
    assert "huber, delta 2" in run("fit", data, "--target", "y", "--loss", "huber", "--beta=2").out


def test_tables_without_a_threshold(run, data):
    assert "outliers" not in run("fit", data, "--target", "y", "--loss", "mse").out


def test_names_are_shown_whole_and_as_they_are(run, csv):
    names = ["long " * 60 + "end", "[bold]x[/bold]", ":smile:"]
    path = csv(",".join([*names, "y"]) + "\n1,2,3,4\n2,3,1,1\n5,3,2,1\n0,0,4,9\n3,3,2,2\n")
    out = run("fit", path, "--target", "y").out
    for name in names:
        assert name in out


def test_output_holds_what_is_printed(run, data, tmp_path):
    path = tmp_path / "model.json"
    path.write_text("old")
    ran = run("fit", data, "--target", "y", "--json", "--output", path)
    assert json.loads(path.read_text()) == ran.model
    assert "\n  " in path.read_text()
    assert os.listdir(tmp_path) == ["model.json"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_output_through_a_link(run, data, tmp_path):
    (tmp_path / "link.json").symlink_to("model.json")
    assert run("fit", data, "--target", "y", "--output", tmp_path / "link.json").code == 0
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "model.json").read_text())["success"]


def test_output_that_fails_leaves_the_old_file(refused, data, tmp_path, monkeypatch):
    path = tmp_path / "model.json"
    path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    said = refused("fit", data, "--target", "y", "--output", path)
    assert "No space left" in said
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["model.json"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit"], ["FILE", "--target"]),
        ([], ["COMMAND"]),
        (["fly"], ["'fly'"]),
        (["fit", "{data}"], ["--target"]),
        (["fit", "{data}", "--target", "y", "--bet", "1"], ["--bet"]),
        (["fit", "{data}", "--target", "y", "--loss", "l2"], ["'l2'", "huber"]),
        (["fit", "{data}", "--target", "y", "--beta", "-1"], ["--beta", "'-1'"]),
        (["fit", "{data}", "--target", "y", "--beta", "much"], ["--beta", "'much'", "auto"]),
        (["fit", "{data}", "--target", "y", "--beta", "nan"], ["--beta", "'nan'"]),
        (["fit", "{data}", "--target", "y", "--beta", "inf"], ["--beta", "'inf'"]),
        (["fit", "{data}", "--target", "y", "--loss", "huber", "--beta", "0"], ["--beta", "huber"]),
        (["fit", "{data}", "--target", "y", "--loss", "l1", "--beta", "1"], ["--beta", "l1"]),
        (["fit", "{data}", "--target", "y", "--loss", "mse", "--beta", "auto"], ["--beta", "mse"]),
        (["fit", "{data}", "--target", "y", "--l2", "-0.5"], ["--l2", "'-0.5'"]),
        (["fit", "{data}", "--target", "y", "--l2", "x"], ["--l2", "'x'"]),
        (["fit", "{data}", "--target", "z"], ["'z'", "'a', 'b', 'y'"]),
        (["fit", "{data}", "--target", "y", "--features", "a,c"], ["'c'", "'a', 'b', 'y'"]),
        (["fit", "{data}", "--target", "y", "--features", "a,a"], ["'a'", "2 times"]),
        (["fit", "{data}", "--target", "y", "--features", "a,y"], ["'y'", "among"]),
        (["fit", "{data}", "--target", "y", "--features", ""], ["no features"]),
        (["fit", "{folder}/none.csv", "--target", "y"], ["no such file", "none.csv"]),
        (["fit", "{folder}/no\nne.csv", "--target", "y"], ["no such file", "no ne.csv"]),
        (["fit", "{folder}", "--target", "y"], ["without Parquet"]),
        (
            ["fit", "{data}", "--target", "y", "--output", "{folder}/none/model.json"],
            ["--output", "folder", "none"],
        ),
        (["fit", "{data}", "--target", "y", "--output", "{folder}"], ["--output", "not a file"]),
        (["fit", "{data}", "--target", "y", "--output", "{data}"], ["--output", "replace"]),
        (["info", "extra"], ["extra"]),
    ],
)
def test_what_cannot_be_asked(refused, data, tmp_path, arguments, words):
    said = refused(*(a.format(data=data, folder=tmp_path) for a in arguments))
    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,y\n1,2\nx,3\n", ["'a'", "row 2", "'x'"]),
        ("a,y\n1,2\n,3\n", ["1 of 2 rows", "row 2", "'a'", "--drop-missing"]),
        ("a,y\n1,2\n1,inf\n", ["1 of 2 rows", "row 2", "'y'"]),
        ("a,y\n", ["no rows"]),
        ("a,y\n1,2\n3\n", ["row 2", "1 values"]),
        ("intercept,y\n1,2\n2,3\n", ["'intercept'", "--no-intercept"]),
        ("a,y\n1,1e300\n2,-1e300\n", ["cannot fit", "rescale"]),
        ("a,y\n1e300,1\n-1e300,2\n", ["cannot fit"]),
    ],
)
def test_data_that_cannot_be_fitted(refused, csv, text, words):
    said = refused("fit", csv(text), "--target", "y", "--json")
    assert [word for word in words if word not in said] == []


def test_a_feature_called_intercept_alone(run, csv):
    path = csv("intercept,y\n1,2\n2,4\n3,6\n")
    model = run("fit", path, "--target", "y", "--no-intercept", "--json").model
    assert model["coefficients"] == pytest.approx({"intercept": 2.0})


def test_results_that_are_not_finite(refused, data, monkeypatch):
    fitted = fastloss.fit

    def overflowed(*arguments, **options):
        return fitted(*arguments, **options) | {"scale": np.inf}

    monkeypatch.setattr(fastloss, "fit", lambda *a, **k: type(fitted(*a, **k))(overflowed(*a, **k)))
    assert "not finite" in refused("fit", data, "--target", "y", "--json")


def test_a_fit_that_does_not_converge(run, data, tmp_path, monkeypatch):
    monkeypatch.setattr(fastloss, "fit", functools.partial(fastloss.fit, max_iter=1))
    ran = run("fit", data, "--target", "y", "--json", "--output", tmp_path / "model.json")
    assert ran.code == 1
    assert ran.err == "fastloss: warning: the fit has not converged: not converged after 1 steps\n"
    assert ran.model["success"] is False
    assert json.loads((tmp_path / "model.json").read_text()) == ran.model
    ran = run("fit", data, "--target", "y")
    assert ran.code == 1
    assert ["converged", "no"] in [line.split() for line in ran.out.splitlines()]


def test_memory_that_is_not_there(refused, data, monkeypatch):
    def read(*_, **__):
        raise MemoryError

    monkeypatch.setattr(tables, "read", read)
    assert "not enough memory" in refused("fit", data, "--target", "y")


def test_interrupted(run, data, monkeypatch):
    def read(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the signal did not come")

    monkeypatch.setattr(tables, "read", read)
    assert run("fit", data, "--target", "y") == (130, "", "fastloss: interrupted\n")


def test_interrupted_before_the_first_step(run, data, monkeypatch):
    fitted = fastloss.fit

    def fit(*arguments, callback=None, **options):
        if callback is not None:  # not the few rows that are fitted to compile
            raise KeyboardInterrupt
        return fitted(*arguments, **options)

    monkeypatch.setattr(fastloss, "fit", fit)
    assert run("fit", data, "--target", "y") == (130, "", "fastloss: interrupted\n")


def test_warnings_are_one_line(run, data, monkeypatch):
    read = tables.read

    def warning(*arguments, **options):
        warnings.warn("first\nsecond", RuntimeWarning, stacklevel=1)
        return read(*arguments, **options)

    monkeypatch.setattr(tables, "read", warning)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        ran = run("fit", data, "--target", "y", "--json")
    assert (ran.code, ran.err) == (0, "fastloss: warning: first second\n")


def test_without_rich(refused, run, data, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    assert "pip install 'fastloss[cli]'" in refused("fit", data, "--target", "y")
    assert run("fit", data, "--target", "y", "--json").code == 0


def test_progress_is_for_terminals(run, data, monkeypatch):
    assert run("fit", data, "--target", "y", "--json").err == ""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    ran = run("fit", data, "--target", "y", "--json")
    assert "fitting 10 rows: step" in ran.err
    assert "loss" in ran.err
    assert ran.model["n_rows"] == 10
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert run("fit", data, "--target", "y", "--json").err == ""


def test_help_and_version(run):
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    assert "info" in out
    assert "--drop-missing" in run("fit", "--help").out
    assert run("--version") == (0, f"fastloss {fastloss.__version__}\n", "")


def process(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "fastloss", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        **options,
    )


def test_as_a_process(run, data):
    done = process("fit", data, "--target", "y", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == run("fit", data, "--target", "y", "--json").model
    done = process("fit", data, "--target", "z")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_help_loads_nothing_slow():
    code = (
        "import sys; from fastloss.cli import main; main(['fit', '--help']);"
        "print([m for m in ('numba', 'scipy', 'pyarrow', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def writing_to(stdout, *arguments):
    # Python flushes what is left of the output once more at its end, unless it is unbuffered.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    return subprocess.run(
        [sys.executable, "-m", "fastloss", *map(str, arguments)],
        env=environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("options", [["--json"], []])
def test_a_reader_that_goes_away(data, options):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = writing_to(pipe, "fit", data, "--target", "y", *options)
        helped = writing_to(pipe, "--help")
    assert (done.returncode, done.stderr) == (141, "")
    assert (helped.returncode, helped.stderr) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device here")
def test_a_full_disk(data):
    with open("/dev/full", "wb") as full:
        done = writing_to(full, "fit", data, "--target", "y", "--json")
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["fastloss: error: [Errno 28] No space left on device"]


def test_an_encoding_without_the_letters(csv):
    path = csv("é,y\n1,2\n2,3\n4,4\n")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = process("fit", path, "--target", "y", env=environment)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "PYTHONIOENCODING" in done.stderr
    assert process("fit", path, "--target", "y", "--json", env=environment).returncode == 0


def test_a_damaged_file_prints_one_line_and_no_traceback_of_its_reader(tmp_path):
    path = tmp_path / "junk.csv"
    path.write_bytes(np.random.default_rng(0).bytes(50_000))
    command = [sys.executable, "-m", "fastloss", "fit", str(path), "--target", "a"]
    result = subprocess.run(command, capture_output=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith(b"fastloss: error: cannot read")
    assert len(result.stderr.splitlines()) == 1

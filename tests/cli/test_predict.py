"""`fastloss predict`: models as `fit --output` writes them, and nothing else."""

import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from fastloss.cli import stored
from fastloss.cli.errors import CommandError

GONE = "(gone)"


@pytest.fixture
def predict(run, tmp_path):
    """Give predictions for a file, and what was said."""

    def predict(model, path):
        out = tmp_path / "predictions.npy"
        ran = run("predict", model, path, "--output", out)
        assert (ran.code, ran.out) == (0, "")
        return np.load(out), ran.err

    return predict


@pytest.mark.parametrize("option", [[], ["--no-intercept"]])
def test_a_fit_predicts_its_own_rows(run, predict, stackloss, tmp_path, option):
    path = tmp_path / "model.json"
    run("fit", stackloss, "--target", "stack.loss", "--output", path, *option)
    rows = np.loadtxt(stackloss, delimiter=",", skiprows=1)
    w = json.loads(path.read_text())["coefficients"]
    expected = rows[:, :3] @ [w["Air.Flow"], w["Water.Temp"], w["Acid.Conc."]]
    found, said = predict(path, stackloss)
    np.testing.assert_allclose(found, expected + (0 if option else w["intercept"]), rtol=1e-12)
    assert said == ""


@pytest.mark.parametrize("kind", ["csv", "npy", "parquet"])
def test_predictions_in_each_format(run, model, csv, tmp_path, kind):
    path = tmp_path / f"out.{kind}"
    assert run("predict", model, csv("c,a\n0,1\n0,2\n"), "--output", path).code == 0
    read = {
        "csv": lambda: pa.csv.read_csv(path)["prediction"].to_pylist(),
        "npy": lambda: np.load(path).tolist(),
        "parquet": lambda: pq.read_table(path)["prediction"].to_pylist(),
    }
    assert read[kind]() == [3.0, 5.0]


def test_a_feature_called_intercept(run, predict, csv, tmp_path):
    path = csv("intercept,y\n1,2\n2,4\n3,6\n")
    run("fit", path, "--target", "y", "--no-intercept", "--output", tmp_path / "model.json")
    np.testing.assert_allclose(predict(tmp_path / "model.json", path)[0], [2, 4, 6])


def test_a_row_with_a_missing_value_has_no_prediction(predict, model, csv):
    found, said = predict(model, csv("a,b\n1,x\n,y\n3,z\n"))
    np.testing.assert_array_equal(found, [3, np.nan, 7])
    assert said == "fastloss: warning: 1 of 3 rows have no prediction: a value is missing\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("b,c\n1,2\n", "no column 'a'"),
        ("a,a\n1,2\n", "2 columns called 'a'"),
        ("a,b\nx,2\n", "column 'a' holds text"),
        ("a,b\n", "no rows"),
    ],
)
def test_data_that_do_not_suit_the_model(refused, model, csv, tmp_path, text, words):
    assert words in refused("predict", model, csv(text), "--output", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_an_array_without_rows(refused, described, tmp_path):
    described["coefficients"] = {"intercept": 1.0, "0": 2.0}
    (tmp_path / "model.json").write_text(json.dumps(described))
    np.save(tmp_path / "data.npy", np.zeros((0, 2)))
    arguments = tmp_path / "model.json", tmp_path / "data.npy", "--output", tmp_path / "out.npy"
    assert "no rows" in refused("predict", *arguments)


def test_outputs_that_cannot_be(refused, model, csv, tmp_path):
    data = csv("a\n1\n")
    assert "must end in .csv, .npy" in refused("predict", model, data, "--output", tmp_path / "o.x")
    assert "replace the data" in refused("predict", model, data, "--output", data)
    assert "does not exist" in refused("predict", model, data, "--output", tmp_path / "n" / "o.csv")


@pytest.mark.parametrize("name", ["part.parquet", "new.parquet", "deep/new.parquet"])
@pytest.mark.parametrize("command", ["fit", "predict"])
def test_nothing_is_written_into_a_folder_of_data(refused, model, tmp_path, command, name):
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    pq.write_table(pa.table({"a": [1.0, 2.0], "b": [3.0, 4.0]}), folder / "part.parquet")
    before = (folder / "part.parquet").read_bytes()
    (tmp_path / "link").symlink_to(folder)
    for source in (folder, tmp_path / "link"):
        given = ("fit", source, "--target", "b") if command == "fit" else ("predict", model, source)
        for output in (folder / name, tmp_path / "link" / name):
            assert f"must lie outside {source}, whose" in refused(*given, "--output", output)
    assert [path.name for path in folder.rglob("*.parquet")] == ["part.parquet"]
    assert (folder / "part.parquet").read_bytes() == before


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_without_pyarrow(refused, described, tmp_path, monkeypatch, kind):
    described["coefficients"] = {"0": 2.0, "intercept": 0.0}
    (tmp_path / "model.json").write_text(json.dumps(described))
    np.save(tmp_path / "data.npy", np.ones((2, 1)))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    arguments = tmp_path / "model.json", tmp_path / "data.npy", "--output", tmp_path / f"o.{kind}"
    assert "pip install 'fastloss[cli]'" in refused("predict", *arguments)


# --- what is no model


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("format", GONE, "the key 'format' is missing, which must be 1"),
        ("format", 2, "'format' must be 1, got 2"),
        ("format", True, "'format' must be 1, got true"),
        ("coefficients", [1.0], "'coefficients' must be an object of numbers, got a list"),
        ("coefficients", {"a": "1"}, "the coefficient of 'a' must be a finite number, got \"1\""),
        ("coefficients", {"a": 1.0, "b": None}, "coefficient of 'b' must be a finite number"),
        ("coefficients", {"a": True}, "coefficient of 'a' must be a finite number, got true"),
        ("coefficients", {"a": 10**400}, "coefficient of 'a' must be a finite number, got 1000"),
        ("coefficients", {"a": {}}, "coefficient of 'a' must be a finite number, got an object"),
        ("coefficients", {"a": 1.0}, "must have 'intercept', as 'fit_intercept' is true"),
        ("coefficients", {"intercept": 1.0}, "is a model without features"),
        ("fit_intercept", 1, "'fit_intercept' must be true or false, got 1"),
        ("loss", "l3", "'loss' must be one of smooth_l1, huber, l1, mse, got \"l3\""),
        ("loss", ["l1"], "'loss' must be one of"),
        ("beta", -1.0, "'beta' must be null or a finite number of at least 0, got -1.0"),
        ("beta", "auto", "'beta' must be null or"),
        ("fun", None, "'fun' must be a finite number, got null"),
        ("scale", "x" * 100, 'got "' + "x" * 39 + "..."),
        ("n_rows", 1.5, "'n_rows' must be an integer of at least 0, got 1.5"),
        ("n_dropped", -1, "'n_dropped' must be an integer of at least 0, got -1"),
        ("n_outliers", True, "'n_outliers' must be null or an integer of at least 0, got true"),
        ("n_iter", 10**30, "'n_iter' must be an integer"),
        ("success", "yes", "'success' must be true or false, got \"yes\""),
        ("message", None, "'message' must be text, got null"),
        ("__class__", "os", "the key '__class__' is unknown, allowed are format, coefficients,"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_key_that_is_wrong_is_named_with_what_it_must_be(described, tmp_path, key, value, words):
    if value is GONE:
        del described[key]
    else:
        described[key] = value
    path = tmp_path / "model.json"
    path.write_text(json.dumps(described))
    with pytest.raises(CommandError) as caught:
        stored.load(path)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a model"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[1, 2]", "must be one JSON object, got a list"),
        (b"3", "must be one JSON object, got 3"),
        (b"\x80\x04N.", "not UTF-8"),
        (b'{"fun": NaN}', "NaN is no finite number"),
        (b'{"fun": -Infinity}', "-Infinity is no finite number"),
        (b'{"fun": 1, "fun": 2}', "has the key 'fun' twice"),
        (b"[" * 1_000_000, "is not a model"),
        (b"9" * 1_000_000, "is not a model"),
    ],
    ids=lambda v: str(v)[:20],
)
def test_a_file_that_is_no_model(tmp_path, content, words):
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(CommandError) as caught:
        stored.load(path)
    assert words in str(caught.value)


def test_a_model_is_not_read_whatever_its_size(tmp_path):
    path = tmp_path / "model.json"
    with path.open("wb") as file:
        file.truncate(10**12)  # without a block on disk
    with pytest.raises(CommandError, match="has 1e.03 GB, but a model at most 100 MB"):
        stored.load(path)


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        stored.load(tmp_path / "none.json")

import numpy as np
import pytest

import fastloss as fl

FUNCTIONS = [
    (fl.smooth_l1_loss, fl.SmoothL1Loss, {"beta": 0.7}),
    (fl.huber_loss, fl.HuberLoss, {"delta": 0.7}),
    (fl.l1_loss, fl.L1Loss, {}),
    (fl.mse_loss, fl.MSELoss, {}),
]


@pytest.mark.parametrize(("function", "cls", "parameters"), FUNCTIONS)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_is_the_class_of_the_same_name(function, cls, parameters, reduction):
    x, y, weight = np.random.default_rng(0).uniform(-2, 2, (3, 50))
    loss = cls(reduction=reduction, **parameters)
    result = function(x, y, reduction=reduction, weight=weight, **parameters)
    np.testing.assert_array_equal(result, loss(x, y, weight))
    out = np.empty(50 if reduction == "none" else ())
    assert function(x, y, reduction=reduction, out=out, **parameters) is out
    np.testing.assert_array_equal(out, loss(x, y))


@pytest.mark.parametrize(("function", "cls", "parameters"), FUNCTIONS)
def test_defaults_are_those_of_the_class(function, cls, parameters):
    assert function([3.0, 0.5], [0.0, 0.0]) == cls()([3.0, 0.5], [0.0, 0.0])


@pytest.mark.parametrize(("function", "cls", "parameters"), FUNCTIONS)
def test_refuses_what_the_class_refuses(function, cls, parameters):
    with pytest.raises(ValueError, match="reduction must be"):
        function([1.0], [1.0], reduction="average")
    with pytest.raises(ValueError, match="reduction must be"):
        function([1.0], [1.0], reduction=["mean"])
    for name in parameters:
        with pytest.raises(ValueError, match=f"{name} must be"):
            function([1.0], [1.0], **{name: -1})
        with pytest.raises(TypeError, match=f"{name} must be"):
            function([1.0], [1.0], **{name: [1.0]})

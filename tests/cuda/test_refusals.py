"""What cannot be computed is refused before anything runs, as on the CPU."""

import subprocess
import sys

import numpy as np
import pytest
from numba.core.errors import TypingError

import fastloss as fl
from fastloss.cuda import backend, launch
from tests.cuda.fake import DeviceArray, device


@pytest.fixture(autouse=True)
def _no_launch(monkeypatch):
    monkeypatch.setattr(launch, "run", lambda *_: pytest.fail("a kernel was launched"))


def masked(place):
    if place is device:
        return DeviceArray(np.ones(3), mask=np.zeros(3, bool))
    return np.ma.masked_array(np.ones(3), [0, 1, 0])


def read_only():
    x = np.ones(3)
    x.flags.writeable = False
    return x


MEMORY = np.zeros(20)

FAULTS = {
    "complex": lambda place: ((place(np.ones(3, complex)), 0.0), {}),
    "datetime": lambda place: ((place(np.ones(3, "M8[s]")), 0.0), {}),
    "structure": lambda place: ((place(np.ones(3, [("a", float)])), 0.0), {}),
    "mask": lambda place: ((masked(place), 0.0), {}),
    "masked weight": lambda place: ((place(np.ones(3)), 0.0, masked(place)), {}),
    "shapes": lambda place: ((place(np.ones(3)), place(np.ones(4))), {}),
    "weight's shape": lambda place: (
        (place(np.ones(3)), place(np.ones(3)), place(np.ones((2, 3)))),
        {},
    ),
    "None": lambda place: ((place(np.ones(3)), None), {}),
    "text": lambda place: ((place(np.ones(3)), "a"), {}),
    "a number beyond 64 bits": lambda place: ((place(np.ones(3)), 10**400), {}),
    "out's shape": lambda place: ((place(np.ones(3)), 0.0), {"out": place(np.ones(4))}),
    "out's integers": lambda place: ((place(np.ones(3)), 0.0), {"out": place(np.ones(3, int))}),
    "out's complex": lambda place: ((place(np.ones(3)), 0.0), {"out": place(np.ones(3, "c8"))}),
    "out of list": lambda place: ((place(np.ones(3)), 0.0), {"out": [0.0] * 3}),
    "read-only out": lambda place: ((place(np.ones(3)), 0.0), {"out": place(read_only())}),
    "out on itself": lambda place: (
        (place(np.ones(3)), 0.0),
        {"out": place(np.lib.stride_tricks.as_strided(np.ones(1), (3,), (0,)))},
    ),
    "overlap with input": lambda place: (
        (place(MEMORY[:5]), 0.0),
        {"out": place(MEMORY[3:8])},
    ),
    "overlap with target": lambda place: (
        (place(np.ones(5)), place(MEMORY[::2][:5])),
        {"out": place(MEMORY[2:12:2])},
    ),
    "overlap with weight": lambda place: (
        (place(np.ones(5)), 0.0, place(MEMORY[:5])),
        {"out": place(MEMORY[4::-1])},
    ),
    "reduction's out": lambda place: ((place(np.ones(3)), 0.0), {"out": place(np.ones(1))}),
    "device": lambda place: ((place(np.ones(3)), 0.0), {"device": "gpu0"}),
    "device number": lambda place: ((place(np.ones(3)), 0.0), {"device": 0}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_the_same_error_as_on_the_cpu(fault):
    call = fl.L1Loss() if fault == "reduction's out" else fl.L1Loss().grad
    errors = []
    for place in (lambda array: array, device):
        arguments, options = FAULTS[fault](place)
        with pytest.raises((TypeError, ValueError)) as caught:
            call(*arguments, **options)
        errors.append(caught)
    assert errors[0].type is errors[1].type
    named = {w for w in ("input", "target", "weight", "out", "device") if w in str(errors[0].value)}
    assert named <= {w for w in named if w in str(errors[1].value)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((device(np.ones(3)), np.ones(3)), "input lives on cuda:0 and target on cpu.*device="),
        ((np.ones(3), device(np.ones(3))), "input lives on cpu and target on cuda:0"),
        ((device(np.ones(3)), [1.0, 2.0, 3.0]), "input lives on cuda:0 and target on cpu"),
        ((device(np.ones(3)), 0.0, np.ones(3)), "input lives on cuda:0 and weight on cpu"),
        (
            (device(np.ones(3)), device(np.ones(3), index=1)),
            "input lives on cuda:0 and target on cuda:1",
        ),
    ],
)
def test_arguments_in_several_places_are_named(arguments, words):
    for method in ("__call__", "grad", "value_and_grad", "grad_and_hess"):
        with pytest.raises(TypeError, match=words):
            getattr(fl.L1Loss(), method)(*arguments)


@pytest.mark.parametrize(
    ("input", "out", "words"),
    [
        (device(np.ones(3)), np.ones(3), "out must be an array on cuda:0.*numpy.ndarray on cpu"),
        (device(np.ones(3)), device(np.ones(3), index=1), "out must be an array on cuda:0.*cuda:1"),
        (np.ones(3), device(np.ones(3)), "out must be a NumPy array or None, got tests.cuda"),
    ],
)
def test_an_output_in_another_place_is_refused(input, out, words):
    for method in ("grad", "value_and_grad"):
        with pytest.raises(TypeError, match=words):
            getattr(fl.L1Loss(), method)(input, 0.0, out=out)
    with pytest.raises(TypeError, match=words):
        fl.L1Loss(reduction="none")(input, 0.0, out=out)
    words = words.replace("out must", r"out\[1\] must")
    with pytest.raises(TypeError, match=words):
        fl.L1Loss().grad_and_hess(input, 0.0, out=(None, out))


def test_two_outputs_that_share_memory_are_refused():
    memory = np.ones(8)
    with pytest.raises(ValueError, match=r"out\[0\] and out\[1\] must not share memory"):
        fl.L1Loss().grad_and_hess(
            device(np.ones(5)), 0.0, out=(device(memory[:5]), device(memory[3:]))
        )


class Described:
    """An array of which there is only a description."""

    def __init__(self, **changes):
        interface = {"shape": (3,), "typestr": "<f8", "data": (0x1000, False), "version": 3}
        self.__cuda_array_interface__ = interface | changes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": (0x1004, False)}, "input must have its elements at multiples of their size"),
        ({"strides": (12,)}, "input must have its elements at multiples of their size"),
        ({"typestr": ">f8"}, "input must have the byte order of the machine, got >f8"),
        ({"typestr": "<V2"}, "input must hold real numbers of at most 64 bits"),
        ({"typestr": "<f16"}, "input must hold real numbers of at most 64 bits"),
        ({"mask": object()}, "input must be an array without a mask"),
    ],
)
def test_an_array_that_kernels_cannot_read_is_named(changes, words):
    with pytest.raises(TypeError, match=words):
        fl.L1Loss()(Described(**changes), 0.0)


def test_an_array_whose_library_cannot_describe_it_is_named():
    class Odd:
        @property
        def __cuda_array_interface__(self):
            raise KeyError("bfloat16")

        def __dlpack_device__(self):
            return 2, 0

    with pytest.raises(TypeError, match="target must be an array of real numbers.*bfloat16"):
        fl.L1Loss()(device(np.ones(3)), Odd())
    with pytest.raises(TypeError, match="input must be an array of real numbers.*bfloat16"):
        fl.L1Loss()(Odd(), 0.0)


def test_more_elements_than_32_bits_count_do_not_meet_in_one():
    x, many = np.ones(1), np.lib.stride_tricks.as_strided(np.ones(1), (1 << 31,), (0,))
    words = r"input must not meet 2147483648 targets or more.*\(1,\) in \(2147483648,\)"
    with pytest.raises(ValueError, match=words):
        fl.L1Loss().grad(device(x), device(many))


def test_sums_of_more_elements_than_32_bits_count_are_not_in_one_launch(monkeypatch):
    monkeypatch.setattr(launch, "run", lambda *_: None)
    arguments = device(np.ones(12)), device(np.ones((2, 12)))
    monkeypatch.setattr(backend, "PIECE", 13)
    fl.L1Loss().grad(*arguments)
    monkeypatch.setattr(backend, "PIECE", 12)
    with pytest.raises(ValueError, match=r"shape \(12,\) in \(2, 12\): sum the gradient in pieces"):
        fl.L1Loss().grad(*arguments)


def test_a_formula_that_cannot_be_compiled_is_named(monkeypatch):
    def compile(*_):
        raise TypingError(
            "Failed in nopython mode pipeline (step: frontend)\nUnknown attribute 'f'"
        )

    monkeypatch.setattr(launch, "run", compile)
    with pytest.raises(TypeError, match=r"formula L1\(\) cannot.*Unknown attribute 'f'") as caught:
        fl.L1Loss()(device(np.ones(3)), device(np.ones(3)))
    assert isinstance(caught.value.__cause__, TypingError)


def test_a_column_against_a_row_warns_at_the_caller(monkeypatch):
    monkeypatch.setattr(launch, "run", lambda *_: None)
    with pytest.warns(UserWarning, match=r"\(3,\).*\(3, 1\).*\(3, 3\)") as caught:
        fl.L1Loss(reduction="none")(device(np.zeros(3)), device(np.ones((3, 1))))
    assert caught[0].filename == __file__


CHECKS = """
import fastloss as fl
from fastloss.arrays import disjoint, operands
from fastloss.cuda.arrays import remote
from fastloss.dispatch import locate
from tests.cuda.test_refusals import Described

far = Described(shape=(4, 6), data=(0x1000, False))
array = remote("x", far)
print(repr(array), str(array), [array], array[::-1, ::2].T, array.reshape(24)[3:])
place = locate({"input": far}, None).place()
target, weight = (Described(shape=s, data=(0x9000, True)) for s in ((6,), (4, 1)))
call = operands(place, far, target, weight)
call.output(far, "out", (4, 6))
disjoint((array, remote("y", Described(shape=(4, 6), data=(0x9000, False)))), ("a", "b"))
for out in (
    Described(shape=(4, 6), data=(0x1008, False)),
    Described(shape=(4, 6), data=(0x1000, True)),
    Described(shape=(3,)),
    Described(shape=(4, 6), typestr="<i8"),
    Described(shape=(4, 6), strides=(0, 8)),
    far,
):
    try:
        fl.L1Loss().grad(far, Described(shape=(5,)) if out is far else 0.0, out=out)
    except (TypeError, ValueError) as error:
        print(error)
"""


def test_checks_and_messages_never_read_an_element():
    """At an address where nothing is, a read would end the process."""
    result = subprocess.run(
        [sys.executable, "-c", CHECKS], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("<float64 array of shape (4, 6) on a GPU> <float64 array")
    assert [line.partition(",")[0] for line in lines[1:]] == [
        "out must not overlap input partly: pass the same array",
        "out must be writeable",
        "out must have the shape (4",
        "out must have a dtype that float64 casts to",
        "out must not overlap itself",
        "input and target must broadcast",
    ]

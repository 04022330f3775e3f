"""Which modules are changed, the tests that have to see it, and the changes that change nothing."""

MODULES = {
    "fastloss/formulas.py": ["tests/test_formulas.py"],
    "fastloss/cpu/quick.py": ["tests/cpu/test_quick.py"],
}

TIE = "where they are equal, both sides are the same number"
NOT_CHOSEN = "the divisor of the side that is not chosen"
SIGN = "only the sign of the second argument counts"
LIMIT = "a limit with room on both sides: reciprocals are ordinary up to 126 and 1022"

# By the mutant's name, why no test can tell it from the original.
EQUIVALENT = {
    "fastloss/formulas.py": {
        "SmoothL1.value: 1 -> 2": NOT_CHOSEN,
        "SmoothL1.value: 1 -> -1": NOT_CHOSEN,
        "SmoothL1.value: a < self.beta -> a <= self.beta (2)": TIE,
        "SmoothL1.grad: 1 -> 2": NOT_CHOSEN,
        "SmoothL1.grad: 1 -> -1": NOT_CHOSEN,
        "SmoothL1.grad: 1 -> -1 (2)": SIGN,
        "SmoothL1.hess: 1 -> 2 (2)": NOT_CHOSEN,
        "SmoothL1.hess: 1 -> -1 (2)": NOT_CHOSEN,
        "Huber.value: a <= self.delta -> a < self.delta": TIE,
        "Huber.grad: r > T(0) -> r >= T(0)": "a residual of 0 is within the threshold",
        "Huber.grad: a <= self.delta -> a < self.delta": TIE,
        "L1.grad: 1 -> -1": SIGN,
    },
    "fastloss/cpu/quick.py": {
        ": 100 -> 101": LIMIT,
        ": 900 -> 901": LIMIT,
        "QuickSmoothL1.value: a < self.beta -> a <= self.beta": TIE,
        "QuickSmoothL1.grad: r > self.beta -> r >= self.beta": TIE,
        "QuickSmoothL1.grad: within < -self.beta -> within <= -self.beta": TIE,
    },
}

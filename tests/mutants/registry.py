"""Which modules are changed, the tests that have to see it, and the changes that change nothing."""

MODULES = {
    "fastloss/formulas.py": ["tests/test_formulas.py"],
    "fastloss/cpu/quick.py": ["tests/cpu/test_quick.py"],
}

# By the mutant's name, why no test can tell it from the original.
EQUIVALENT = {
    "fastloss/formulas.py": {},
    "fastloss/cpu/quick.py": {},
}

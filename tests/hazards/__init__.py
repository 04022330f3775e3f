"""What might break a process that uses fastloss, each hazard tried in real processes.

``registry.py`` lists them; ``python -m tests.hazards NAME`` is the process that one is tried in,
and ``attempt.py`` starts it. The tests try each once, ``bench/hazards.py`` as often as it is told.
"""

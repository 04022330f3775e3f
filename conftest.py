"""What pytest must not import where an optional dependency is missing."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") else ["fastloss/torch"]

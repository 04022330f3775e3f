"""Run the command line: ``python -m fastloss``."""

from fastloss.cli import main

raise SystemExit(main())

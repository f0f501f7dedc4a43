"""The model builders of the graph's tests serve the gates' too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "graph"))

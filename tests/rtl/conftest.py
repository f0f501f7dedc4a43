"""The model builders of the graph's and the compiler's tests serve the gates' too."""

import sys
from pathlib import Path

for part in ("graph", "compiler"):
    sys.path.insert(0, str(Path(__file__).parents[1] / part))

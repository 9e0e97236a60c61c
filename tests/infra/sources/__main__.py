"""Write the dialect of a seed into the folder that is there, and say what it is."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

from tests.infra.sources.dialects import Dialect

if __name__ == "__main__":
    dialect = Dialect.random(Random(int(sys.argv[1])))
    path = dialect.write(Path.cwd())
    print(dialect, "\nfull =", dialect.full, "\nsome =", dialect.some, "\npath =", path)

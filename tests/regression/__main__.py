"""Compares all figures with those on record: `python -m tests.regression [--update]`."""

from __future__ import annotations

import argparse
import sys

from tests.regression.cases import CASES
from tests.regression.record import FILE, moved, read, table, write


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.regression", description=__doc__)
    parser.add_argument("--update", action="store_true", help="put what is now on record")
    update = parser.parse_args().update
    now = {name: measure() for name, measure in CASES.items()}
    rows = moved(read(), now)
    print(*table(rows), sep="\n") if rows else print("nothing moved")
    if update:
        write(now)
        print(f"{FILE.name}: {sum(map(len, now.values()))} figures of {len(now)} cases on record")
    return 0 if update else min(len(rows), 1)


if __name__ == "__main__":
    sys.exit(main())

"""Read files in a process of its own, and measure it: a request a line, an answer a line.

```
{"path": "bars.csv", "source": "csv", ...}
{"refusal": null, "bars": 24, "seconds": 0.1, "memory": 1048576}
```
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from tests.infra.sources.mutations import assert_bars_or_a_word
from tests.infra.sources.reading import read

MOST = 6 << 30
"""Bytes beyond which the system refuses memory: the machine outlives the test."""


def memory(what: str) -> int:
    """Bytes of `VmRSS` (resident now) or `VmHWM` (at most since the peak was forgotten)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def children() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def seconds() -> float:
    """Of all processors, this process and those that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Read a file; what came of it, seconds and bytes it took."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak
    before, others, begin = memory("VmRSS"), children(), seconds()
    said: dict[str, Any] = {"refusal": None, "bars": None, "error": None}
    try:
        outcome = read(**request)
        assert_bars_or_a_word(outcome)
        rows = None if outcome.bars is None else outcome.bars.height
        said |= {"refusal": outcome.refusal, "bars": rows}
    except BaseException as error:
        said["error"] = f"{type(error).__name__}: {error}"[:500]
    used = memory("VmHWM") - before
    more = children() if children() > others else 0
    return {**said, "seconds": seconds() - begin, "memory": max(used, more)}


def main() -> None:
    """Answer each line of the standard input."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST, MOST))
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()

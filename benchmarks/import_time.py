"""What `import windlass` costs over bare Python, and what the names that most programs use cost.

    python -m benchmarks.import_time [--runs 21]

Medians of whole processes, taken in turns, so that a busy machine slows all of them alike.
"""

import argparse
import subprocess
import sys
import time
from statistics import median

BARE = "pass"
CASES = {
    "import windlass": "import windlass",
    "from windlass import Windlass": "from windlass import Windlass",
    "from windlass import catalogue": "from windlass import catalogue",
}


def seconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=21)
    runs = parser.parse_args().runs
    taken: dict[str, list[float]] = {name: [] for name in (BARE, *CASES)}
    for _ in range(runs):
        for name in taken:
            taken[name].append(seconds(CASES.get(name, BARE)))
    bare = median(taken[BARE])
    print(f"bare Python {bare * 1000:.1f} ms")
    for name in CASES:
        print(f"{name:32} +{(median(taken[name]) - bare) * 1000:.1f} ms")


if __name__ == "__main__":
    main()

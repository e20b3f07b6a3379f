"""Takes out of report.json what `dvc metrics diff` compares.

python metrics.py report.json metrics.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    report_path, metrics_path = map(Path, sys.argv[1:])
    report = json.loads(report_path.read_text())
    metrics = {cost: report["pruned"][cost] for cost in ("macs", "params", "bytes")} | report["reduction"]
    # Without a data set nothing was measured.
    if metric := report["metric"]:
        metrics |= {f"{split}_{metric['name']}": metric["pruned"][split] for split in ("val", "test")}
    metrics_path.write_text(json.dumps(metrics, indent=2) + "\n")


if __name__ == "__main__":
    main()

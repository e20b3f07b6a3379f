"""Prunes the models of the zoo through the command line of Secateur and writes down how it went.

    python scripts/zoo SECATEUR --folder FOLDER [--only PATTERN] [--again] [--page docs/coverage.md]

A model has one file of JSON lines in the folder, one line for each step; a step that has a line is not taken again unless
--again asks for those that did not go well, so a run that was stopped goes on where it was. The steps, for a traced and
a scripted archive of each model: build it, inspect it, prune half of its multiply-accumulates with each method, and load
the pruned file in PyTorch and run it at two batch sizes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import archives
import page
from catalogue import MODELS
from limited import Limits
from results import Results
from steps import STEPS, Run


def main() -> int:
    arguments = parse_arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    limits = Limits(arguments.seconds, arguments.gigabytes)
    chosen = [model for model in MODELS if re.search(arguments.only, model.key)]
    for number, model in enumerate(chosen, 1):
        results = Results(arguments.folder / f"{model.key}.jsonl")
        for kind in arguments.kinds.split(","):
            with tempfile.TemporaryDirectory(prefix="zoo-") as scratch:
                archive = arguments.folder / f"{model.key}.{kind}.pt"
                run = Run(model, kind, archive, arguments.secateur, Path(scratch), limits)
                for line in missing_steps(run, results, arguments):
                    results.add(line)
                    print(f"[{number}/{len(chosen)}] {model.key} {json.dumps(line)[:300]}", flush=True)
                if not arguments.keep:
                    archive.unlink(missing_ok=True)
    if arguments.page:
        arguments.page.write_text(page.write(arguments.folder))
        print(f"wrote {arguments.page}")
    return 0


def missing_steps(run: Run, results: Results, arguments: argparse.Namespace) -> Iterator[dict]:
    """Takes the steps that have no line, or none that is good. What cannot be built or inspected cannot be pruned."""
    kind, wanted = run.kind, [step for step in STEPS if step in arguments.steps.split(",")]
    is_settled = partial(results.is_settled, kind, again=arguments.again)
    if is_settled("build") and (results.outcome(kind, "build") != "built" or all(map(is_settled, wanted))):
        return
    if not run.archive.exists():
        built = run.build()
        yield {"kind": kind, "step": "build", **built}
        if built["outcome"] != "built":
            return
    for step in itertools.filterfalse(is_settled, wanted):
        if step != "inspect" and results.outcome(kind, "inspect") != "inspected":
            return
        yield {"kind": kind, "step": step, **run.take(step)}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("secateur", type=Path, help="the program, with secateur-engine beside it")
    parser.add_argument("--folder", type=Path, required=True, help="for archives and results")
    parser.add_argument("--only", default="", help="a regular expression: models such as timm-vit_tiny_patch16_224")
    parser.add_argument("--kinds", default=",".join(archives.KINDS))
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--again", action="store_true", help="take steps again that did not go well")
    parser.add_argument("--keep", action="store_true", help="keep the archives")
    parser.add_argument("--page", type=Path, help="write the table of coverage there")
    parser.add_argument("--seconds", type=int, default=600, help="limit of one step")
    parser.add_argument("--gigabytes", type=int, default=16, help="limit of one step's address space")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

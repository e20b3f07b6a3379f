"""Prunes the models of the zoo through the command line of Secateur and writes down how it went.

    python scripts/zoo SECATEUR --folder FOLDER [--only PATTERN] [--again] [--page docs/coverage.md]

A model has one file of JSON lines in the folder, one line for each step; a step that has a line is not taken again unless
--again asks for those that did not go well, so a run that was stopped goes on where it was. A line says which engine took
the step, and the page says how many are another engine's; in an empty folder all are taken anew. --steps '' takes none, so that
only the page is written. The steps, for a traced and
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
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import archives
import page
from catalogue import MODELS
from engine import build_of, engine_beside
from limited import Limits
from results import Results
from steps import STEPS, Run


def main() -> int:
    arguments = parse_arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    limits = Limits(arguments.seconds, arguments.gigabytes)
    engine = build_of(arguments.secateur)
    chosen = [model for model in MODELS if arguments.only.search(model.key)]
    for number, model in enumerate(chosen, 1):
        results = Results(arguments.folder / f"{model.key}.jsonl")
        for kind in arguments.kinds:
            with tempfile.TemporaryDirectory(prefix="zoo-") as scratch:
                archive = arguments.folder / f"{model.key}.{kind}.pt"
                run = Run(model, kind, archive, arguments.secateur, engine, Path(scratch), limits)
                for line in missing_steps(run, results, arguments):
                    results.add(line)
                    print(f"[{number}/{len(chosen)}] {model.key} {json.dumps(line)[:300]}", flush=True)
                if not arguments.keep:
                    archive.unlink(missing_ok=True)
    if arguments.page:
        arguments.page.write_text(page.write(arguments.folder, engine))
        print(f"wrote {arguments.page}")
    return 0


def missing_steps(run: Run, results: Results, arguments: argparse.Namespace) -> Iterator[dict]:
    """Takes the steps that have no line, or none that is good. What cannot be built or inspected cannot be pruned."""
    kind, wanted = run.kind, [step for step in STEPS if step in arguments.steps]
    is_settled = partial(results.is_settled, kind, again=arguments.again)
    if not wanted:
        return
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
    parser.add_argument(
        "--only",
        type=pattern,
        default=re.compile(""),
        help="a regular expression: models such as timm-vit_tiny_patch16_224",
    )
    parser.add_argument(
        "--kinds", type=some_of(archives.KINDS), default=archives.KINDS, help=f"of {','.join(archives.KINDS)}"
    )
    parser.add_argument("--steps", type=some_of(STEPS), default=STEPS, help=f"of {','.join(STEPS)}")
    parser.add_argument("--again", action="store_true", help="take steps again that did not go well")
    parser.add_argument("--keep", action="store_true", help="keep the archives")
    parser.add_argument("--page", type=Path, help="write the table of coverage there")
    parser.add_argument("--seconds", type=int, default=600, help="limit of one step")
    parser.add_argument("--gigabytes", type=int, default=16, help="limit of one step's address space")
    arguments = parser.parse_args()
    arguments.secateur = arguments.secateur.resolve()
    for program in (arguments.secateur, engine_beside(arguments.secateur)):
        if not program.is_file():
            parser.error(f"{program} is missing: cargo build --release --workspace --bins makes it")
    if not any(arguments.only.search(model.key) for model in MODELS):
        parser.error(f"no model of scripts/zoo/catalogue.py matches {arguments.only.pattern!r}")
    return arguments


def pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error


def some_of(names: tuple[str, ...]) -> Callable[[str], list[str]]:
    """Parses names with commas between them; none at all is allowed."""

    def parse(text: str) -> list[str]:
        found = [name for name in text.split(",") if name]
        if unknown := [name for name in found if name not in names]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(names)}")
        return found

    return parse


if __name__ == "__main__":
    sys.exit(main())

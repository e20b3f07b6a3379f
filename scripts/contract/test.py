"""Holds a server against its own description with made-up requests, good and bad.

    PYTHON scripts/contract/test.py SECATEUR [--seconds 240] [--seed 0] [--phases PHASE,PHASE]

PYTHON is the one that scripts/setup-contract.sh prints; SECATEUR is the binary. A server without engine and with one key serves
/openapi.json, and Schemathesis makes requests from it: the examples and bounds of every parameter, random ones, and sequences that use what
earlier answers gave. Every answer must have a status, a media type, headers and a schema that the document has, and none may be a 5xx.
Whether a bad request is refused is what the service's own tests look at. The exit code is that of Schemathesis.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo import EXAMPLES, LocalServer, call

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
JOBS = 40
# It would revoke the key with which everything else is asked.
NOT_ASKED = ("revoke_key",)


def main() -> int:
    arguments = parse_arguments()
    server = LocalServer(arguments.binary, "--slots", "0", "--requests-per-minute", "0", "--max-jobs", "0")
    code = 1
    try:
        server.wait_until_ready()
        (server.folder / "things.json").write_text(json.dumps(make_things(server.url)))
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(Path(__file__).parent / "hooks.py")}
        tried = subprocess.run(command(arguments, server), cwd=server.folder, env=environment, check=False)
        code = tried.returncode
    finally:
        stopped = server.stop(keep_data=code != 0)
    return code if stopped else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--seconds", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--phases", help="of Schemathesis, such as `stateful`; all of them otherwise")
    return parser.parse_args()


def make_things(url: str) -> dict[str, list[str]]:
    """Things of each kind, so that not every id leads to nothing: half of the jobs are cancelled."""

    def upload(kind: str, file: str) -> str:
        body = (EXAMPLES / file).read_bytes()
        return json.loads(call(f"{url}/v1/{kind}", body, "application/octet-stream"))["id"]

    models = [upload("models", file) for file in ("vgg-digits.pt", "resnet20-digits.pt")]
    datasets = [upload("datasets", "digits.npz")]
    spec = json.dumps({"model_id": models[0], "target": {"flops_reduction": 0.5}, "method": "uniform"}).encode()
    jobs = [json.loads(call(f"{url}/v1/jobs", spec, "application/json"))["id"] for _ in range(JOBS)]
    for job in jobs[::2]:
        call(f"{url}/v1/jobs/{job}/cancel", b"", "application/json")
    return {"models": models, "datasets": datasets, "jobs": jobs}


def command(arguments: argparse.Namespace, server: LocalServer) -> list[str]:
    schemathesis = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{server.url}/openapi.json"]
    options = {
        "--header": f"Authorization: Bearer {server.make_key('contract', 'admin')}",
        "--checks": ",".join(CHECKS),
        "--max-time": str(arguments.seconds),
        "--seed": str(arguments.seed),
        "--request-timeout": "30",
        **({"--phases": arguments.phases} if arguments.phases else {}),
    }
    schemathesis += [word for option in options.items() for word in option]
    return schemathesis + [word for operation in NOT_ASKED for word in ("--exclude-operation-id", operation)]


if __name__ == "__main__":
    sys.exit(main())

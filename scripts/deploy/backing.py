"""What a deployment brings itself: PostgreSQL and a store that speaks S3, on this machine's loopback."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import boto3
import moto.server
from werkzeug.serving import make_server

from container import Failed

POSTGRES_PORT, STORE_PORT = 5432, 9000
UNPRIVILEGED = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]


class Database:
    """PostgreSQL that asks for a password, with a role `secateur`."""

    def __init__(self, folder: Path, password: str) -> None:
        self.folder, self.password = folder / "postgres", password
        self.log = folder / "postgres.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir()
        secret = self.folder.parent / "postgres.password"
        secret.write_text(self.password)
        for path in (self.folder, secret):
            shutil.chown(path, 65534, 65534)
        secret.chmod(0o600)
        initdb = [
            "initdb",
            "-D",
            self.folder,
            "-U",
            "secateur",
            "-A",
            "scram-sha-256",
            f"--pwfile={secret}",
            "--no-sync",
        ]
        subprocess.run(
            [*UNPRIVILEGED, *map(program, initdb[:1]), *initdb[1:]], check=True, capture_output=True, cwd="/"
        )
        with self.log.open("wb") as log:
            words = [program("postgres"), "-D", self.folder, "-k", "", "-h", "127.0.0.1", "-p", str(POSTGRES_PORT)]
            self.process = subprocess.Popen([*UNPRIVILEGED, *words], stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + 60
        while b"ready to accept connections" not in self.log.read_bytes():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise Failed(f"PostgreSQL does not start: {self.log.read_text()}")
            time.sleep(0.1)

    def create(self, name: str) -> str:
        """A database of the name; its URL."""
        self.ask("postgres", f"create database {name}")
        return f"postgres://secateur:{self.password}@127.0.0.1:{POSTGRES_PORT}/{name}"

    def ask(self, database: str, statement: str, role: str = "secateur", password: str | None = None) -> str:
        """The rows of a statement, with `|` between columns."""
        words = [program("psql"), "-XAtq", "-h", "127.0.0.1", "-p", str(POSTGRES_PORT), "-U", role, "-d", database]
        done = subprocess.run(
            [*words, "-v", "ON_ERROR_STOP=1", "-c", statement],
            env=os.environ | {"PGPASSWORD": password or self.password},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Failed(f"{statement}: {done.stderr.strip()}")
        return done.stdout.strip()

    def workers(self, database: str, job: str) -> set[str]:
        """The names of the workers that ran the tasks of a job."""
        identity = job.removeprefix("job_")
        found = self.ask(database, f"select distinct split_part(worker, '/', 1) from task where job_id = '{identity}'")
        return set(found.split())

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)


def program(name: str) -> str:
    folder = os.environ.get("SECATEUR_PG_BIN")
    return f"{folder}/{name}" if folder else name


class Store:
    """moto, with an empty bucket `secateur`."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        application = moto.server.DomainDispatcherApplication(moto.server.create_backend_app)
        self.server: Any = make_server("127.0.0.1", STORE_PORT, application, threaded=True)

    def start(self) -> None:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{STORE_PORT}",
            region_name="us-east-1",
            aws_access_key_id="secateur",
            aws_secret_access_key="secateur",
        ).create_bucket(Bucket="secateur")

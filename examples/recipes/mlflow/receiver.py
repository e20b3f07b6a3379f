"""A receiver of Secateur's webhooks that makes a version of a registered model of every job that succeeds.

python receiver.py --port 8001

The label `mlflow_model` of a job says which registered model it belongs to; jobs without it are left alone. `SECATEUR_WEBHOOK_SECRET` is the secret
that messages are signed with. A message is answered with success only when its version is in the registry, so that a receiver which dies before is
told again.
"""

from __future__ import annotations

import argparse
import os
import re
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

import mlflow
from recording import JOB_TAG, record
from secateur import Client
from standardwebhooks import Webhook, WebhookVerificationError

MODEL_LABEL = "mlflow_model"
# Secateur waits 15 seconds for an answer.
ANSWER_SECONDS = 10
RETRY_SECONDS = 30
LARGEST_MESSAGE = 1 << 20


class Registrar:
    """Makes versions of jobs, one after the other, and one of each."""

    def __init__(self) -> None:
        self._client = Client(progress=False)
        self._registry = mlflow.MlflowClient()
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._begun: dict[str, Future[str]] = {}
        self._lock = Lock()

    def version(self, job_id: str, model: str) -> str:
        """The version of this job, which is made when there is none yet.

        Raises:
            TimeoutError: It is still being made; ask again.
        """
        with self._lock:
            begun = self._begun.get(job_id)
            if begun is None or (begun.done() and begun.exception()):
                begun = self._begun[job_id] = self._worker.submit(self._find_or_make, job_id, model)
        return begun.result(ANSWER_SECONDS)

    def _find_or_make(self, job_id: str, model: str) -> str:
        for version in self._registry.search_model_versions(f"name = '{model}'"):
            if version.tags.get(JOB_TAG) == job_id:
                return str(version.version)
        with mlflow.start_run():
            return record(self._client.job(job_id), model)


class Receiver(BaseHTTPRequestHandler):
    """Verifies a message before anything else looks at it."""

    registrar: Registrar
    webhook: Webhook
    # Seconds that a sender may keep silent.
    timeout = 30

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        if not 0 < length <= LARGEST_MESSAGE:
            return self.answer(413)
        body = self.rfile.read(length)
        try:
            message = self.webhook.verify(body, dict(self.headers))
        except WebhookVerificationError as error:
            self.log_error("refused: %s", error)
            return self.answer(401)
        model = message["data"].get("labels", {}).get(MODEL_LABEL)
        if message["type"] != "job.succeeded" or not model:
            return self.answer(204)
        if not re.fullmatch(r"[\w.-]+", model):
            self.log_error("%s is no name of a registered model here", model)
            return self.answer(204)
        try:
            version = self.registrar.version(message["data"]["job_id"], model)
        except TimeoutError:
            return self.answer(503, {"retry-after": str(RETRY_SECONDS)})
        except Exception as error:  # whatever it was, Secateur tells of the job again
            self.log_error("%s could not be recorded: %s", message["data"]["job_id"], error)
            return self.answer(500)
        self.log_message("%s is version %s of %s", message["data"]["job_id"], version, model)
        self.answer(204)

    def answer(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8001)
    arguments = parser.parse_args()
    mlflow.set_experiment("pruning")
    Receiver.registrar = Registrar()
    Receiver.webhook = Webhook(os.environ["SECATEUR_WEBHOOK_SECRET"])
    ThreadingHTTPServer(("127.0.0.1", arguments.port), Receiver).serve_forever()


if __name__ == "__main__":
    main()

"""The manifests in deploy/kubernetes and docker/compose.yaml against what their readers ask for."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import compose_spec
import kubernetes_validate
import pydantic
import yaml
from cloudcoil.models.keda import v1alpha1 as keda

from container import Failed

ROOT = Path(__file__).resolve().parent.parent.parent
MANIFESTS = ROOT / "deploy/kubernetes"
COMPOSE = ROOT / "docker/compose.yaml"
# What is applied; the other folders are parts of these.
APPLIED = ("base", "gpu", "migrate", "key")
VERSIONS = ("1.32", "1.36")
SECRETS = {"secateur-database", "secateur-store", "secateur-queue"}
# The kinds of volumes that the profile `restricted` allows, of those that there are here.
VOLUMES = {"emptyDir", "configMap", "secret", "projected", "persistentVolumeClaim"}

Manifest = dict[str, Any]


def check() -> None:
    rendered = {name: render(MANIFESTS / name) for name in APPLIED}
    with tempfile.TemporaryDirectory(prefix="secateur-site-") as folder:
        rendered["the site of docs/deploy.md"] = render_site(Path(folder))
    for name, documents in rendered.items():
        for document in documents:
            check_schema(name, document)
        pods = [document for document in documents if document["kind"] in ("Deployment", "Job")]
        for workload in pods:
            check_restricted(workload)
        print(f"{name}: {len(documents)} manifests, {len(pods)} kinds of pods as `restricted` wants them", flush=True)
        if any(document["kind"] == "ScaledObject" for document in documents):
            check_references(documents)
    # The library knows no merge keys, so it is given what comes of them.
    compose_spec.PyCompose.from_yaml(yaml.safe_dump(yaml.safe_load(COMPOSE.read_text())))
    print("compose.yaml: as the Compose specification wants it", flush=True)


def render_site(folder: Path) -> list[Manifest]:
    """The kustomization that docs/deploy.md shows, beside a checkout."""
    (example,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/deploy.md").read_text(), re.DOTALL | re.MULTILINE)
    (folder / "kustomization.yaml").write_text(example)
    (folder / "secateur").symlink_to(ROOT)
    return render(folder)


def render(folder: Path) -> list[Manifest]:
    """What `kubectl apply -k` would send."""
    if shutil.which("kustomize"):
        words = ["kustomize", "build", folder]
    elif shutil.which("kubectl"):
        words = ["kubectl", "kustomize", folder]
    else:
        raise Failed("neither kustomize nor kubectl is here, and one of them has to render the manifests")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0 or done.stderr:
        raise Failed(f"{folder} cannot be rendered: {done.stderr}")
    return list(yaml.safe_load_all(done.stdout))


def check_schema(name: str, document: Manifest) -> None:
    what = f"{name}: {document['kind']} {document['metadata']['name']}"
    try:
        if document["apiVersion"].startswith("keda.sh/"):
            getattr(keda, document["kind"]).model_validate(document, extra="forbid")
        else:
            for version in VERSIONS:
                kubernetes_validate.validate(document, version, strict=True)
    except (kubernetes_validate.ValidationError, pydantic.ValidationError) as error:
        raise Failed(f"{what}: {error}") from None


def template(workload: Manifest) -> Manifest:
    return workload["spec"]["template"]


def check_restricted(workload: Manifest) -> None:
    """What the admission of pods looks at in a namespace with `pod-security.kubernetes.io/enforce: restricted`."""
    name, pod = workload["metadata"]["name"], template(workload)["spec"]
    of_pod = pod.get("securityContext", {})
    wrong = [field for field in ("hostNetwork", "hostPID", "hostIPC") if pod.get(field)]
    wrong += [volume["name"] for volume in pod.get("volumes", []) if not VOLUMES & set(volume)]
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        context = of_pod | container.get("securityContext", {})
        wrong += [
            what
            for what, holds in {
                "runAsNonRoot": context.get("runAsNonRoot") is True and context.get("runAsUser") != 0,
                "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation") is False,
                "capabilities": context.get("capabilities") == {"drop": ["ALL"]},
                "seccompProfile": context.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"),
                # Beyond the profile.
                "readOnlyRootFilesystem": context.get("readOnlyRootFilesystem") is True,
                "limits of memory": "memory" in container["resources"]["limits"],
            }.items()
            if not holds
        ]
    if wrong:
        raise Failed(f"{name} is not as `restricted` wants it: {wrong}")


def check_references(documents: list[Manifest]) -> None:
    """Every name and every selector means something that is there."""
    by_kind: dict[str, dict[str, Manifest]] = {}
    for document in documents:
        by_kind.setdefault(document["kind"], {})[document["metadata"]["name"]] = document
    deployments = by_kind["Deployment"]
    labels = [template(workload)["metadata"]["labels"] for workload in deployments.values()]

    for workload in deployments.values():
        selector = workload["spec"]["selector"]["matchLabels"]
        if sum(matches(selector, found) for found in labels) != 1:
            raise Failed(f"{workload['metadata']['name']} selects other pods than its own")
        for kind, name in referred(template(workload)["spec"]):
            if name not in (SECRETS if kind == "secret" else by_kind["ConfigMap"]):
                raise Failed(f"{workload['metadata']['name']} refers to the {kind} {name}, which nobody makes")
    for kind in ("PodDisruptionBudget", "NetworkPolicy", "Service"):
        for name, document in by_kind[kind].items():
            spec = document["spec"]
            chosen = spec["selector"] if kind != "NetworkPolicy" else spec["podSelector"]
            selector = chosen if kind == "Service" else chosen.get("matchLabels", {})
            if not any(matches(selector, found) for found in labels):
                raise Failed(f"{kind} {name} selects no pod")
    for name, scaled in by_kind["ScaledObject"].items():
        target = deployments.get(scaled["spec"]["scaleTargetRef"]["name"])
        if target is None or "replicas" in target["spec"]:
            raise Failed(f"ScaledObject {name} scales nothing, or a number of its own stands in the Deployment")
        for trigger in scaled["spec"]["triggers"]:
            if trigger["authenticationRef"]["name"] not in by_kind["TriggerAuthentication"]:
                raise Failed(f"ScaledObject {name} refers to no TriggerAuthentication")
        check_memory(scaled, target)


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def referred(pod: Manifest) -> list[tuple[str, str]]:
    found = []
    for container in pod["containers"]:
        for source in container.get("envFrom", []):
            found += [(kind.removesuffix("Ref"), entry["name"]) for kind, entry in source.items()]
        for variable in container.get("env", []):
            for kind, entry in variable.get("valueFrom", {}).items():
                found.append((kind.removesuffix("KeyRef"), entry["name"]))
    return found


def check_memory(scaled: Manifest, target: Manifest) -> None:
    """A task that asks for more memory than a slot has must not start workers that cannot take it."""
    limit = template(target)["spec"]["containers"][0]["resources"]["limits"]["memory"]
    mebibytes = int(limit.removesuffix("Gi")) * 1024 if limit.endswith("Gi") else int(limit.removesuffix("Mi"))
    for trigger in scaled["spec"]["triggers"]:
        slots = int(trigger["metadata"]["targetQueryValue"])
        if f"needs_memory <= {(mebibytes << 20) // slots})" not in trigger["metadata"]["query"]:
            raise Failed(f"the query of {scaled['metadata']['name']} has another memory than the pods' limit, {limit}")


def queries(documents: list[Manifest]) -> dict[str, str]:
    """The queries of the scalers, by the Deployment that each scales."""
    return {
        document["spec"]["scaleTargetRef"]["name"]: document["spec"]["triggers"][0]["metadata"]["query"]
        for document in documents
        if document["kind"] == "ScaledObject"
    }


def services(secrets: dict[str, str]) -> dict[str, Manifest]:
    """The services of compose.yaml, with the variables of `.env` filled in."""

    def fill(found: re.Match[str]) -> str:
        if found[1] not in secrets:
            raise Failed(f"compose.yaml asks for {found[1]}, which docs/deploy.md does not name")
        return secrets[found[1]]

    return yaml.safe_load(re.sub(r"\$\{(\w+)(?::\?[^}]*)?\}", fill, COMPOSE.read_text()))["services"]

"""The recipe of Prometheus and Grafana: a real Prometheus scrapes the server, and every alert and every panel is evaluated."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml
from conftest import PlaceOf
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from secateur import Client
from server import Server
from waiting import answers, wait_for

from page import PAGES, ROOT, set_up

FOLDER = ROOT / "deploy/prometheus"
BOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text())
ALERTS = [
    rule for group in yaml.safe_load((FOLDER / "secateur.rules.yml").read_text())["groups"] for rule in group["rules"]
]
PANELS = [(panel["title"], target["expr"]) for panel in BOARD["panels"] for target in panel["targets"]]
METRIC = re.compile(r"\bsecateur_\w+\b")
#: Panels that show nothing while nothing runs.
SOMETIMES_EMPTY = {"Running tasks by stage"}


def test_prometheus_scrapes_the_server_and_evaluates_alerts_and_panels(
    place_of: PlaceOf, server: Server, client: Client
) -> None:
    client.prune(
        ROOT / "examples/vgg-digits.pt",
        ROOT / "examples/digits.npz",
        flops_reduction=0.5,
        method="uniform",
        fine_tune=None,
    ).wait(timeout=600)
    with place_of("prometheus", 9090, ADMIN_KEY=server.keys["admin"]) as place:
        place.environment["PATH"] = f"{set_up('prometheus')}{os.pathsep}{place.environment['PATH']}"
        place.succeed("configure")
        printed = place.succeed("check")
        assert f"{len(ALERTS)} rules found" in printed
        # The test waits for some scrapes.
        configuration = place.folder / "prometheus/prometheus.yml"
        configuration.write_text(configuration.read_text().replace("_interval: 15s", "_interval: 1s"))
        place.start("prometheus")
        url = f"http://127.0.0.1:{place.port(9090)}"
        place.wait_for("prometheus", lambda: answers(f"{url}/-/ready"))
        wait_for(lambda: value(url, 'count_over_time(secateur_build_info{job="secateur"}[1m])') >= 3, "three scrapes")
        assert value(url, 'up{job="secateur"}') == 1

        exposed = set(re.findall(r"^(secateur_\w+)", metrics(server), re.MULTILINE))
        named = {
            name
            for text in [rule["expr"] for rule in ALERTS] + [expr for _, expr in PANELS]
            for name in METRIC.findall(text)
        }
        assert named <= exposed, f"nothing exposes {sorted(named - exposed)}"

        for title, expr in PANELS:
            found = ask(url, "query", query=shown(expr))["result"]
            assert found or title in SOMETIMES_EMPTY, f"{title} shows nothing: {expr}"
        assert ask(url, "query", query=shown('count by (job) (secateur_build_info{job=~"$job"})'))["result"]

        wait_for(lambda: all(rule["health"] == "ok" for rule in rules(url).values()), "every alert is evaluated")
        assert {name: rule["state"] for name, rule in rules(url).items()} == {
            rule["alert"]: "inactive" for rule in ALERTS
        }

        # Only an administrator's key may read metrics.
        (place.folder / "prometheus/secateur.key").write_text(server.keys["submit"])
        wait_for(lambda: rules(url)["SecateurDown"]["state"] == "pending", "SecateurDown waits to fire")
        (alert,) = rules(url)["SecateurDown"]["alerts"]
        assert alert["labels"]["job"] == "secateur"


def test_the_page_has_every_alert_and_every_alert_has_a_test() -> None:
    names = [rule["alert"] for rule in ALERTS]
    rows = re.findall(r"^\| `(Secateur\w+)` \|", (PAGES / "prometheus.md").read_text(), re.MULTILINE)
    assert rows == names
    cases = [
        case
        for test in yaml.safe_load((FOLDER / "secateur.tests.yml").read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == set(names)


def test_the_board_is_laid_out_without_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for cell in [(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])]:
            assert cell not in taken, f"{panel['title']} lies over {taken.get(cell)}"
            taken[cell] = panel["title"]
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    variables = {variable["name"] for variable in BOARD["templating"]["list"]} | {"__rate_interval"}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(BOARD["panels"]))) <= variables


def test_grafanas_schema_knows_every_field_of_the_board() -> None:
    register_default_plugins()
    # The schema's types drop what they do not know.
    known = json.loads(JSONEncoder().encode(Dashboard.from_json(BOARD)))
    assert list(differences(BOARD, known)) == []


@pytest.mark.parametrize("scope", ["read", "submit"])
def test_other_keys_read_no_metrics(server: Server, scope: str) -> None:
    answer = httpx.get(f"{server.url}/metrics", headers={"authorization": f"Bearer {server.keys[scope]}"}, timeout=30)
    assert answer.status_code == 403


def differences(written: Any, known: Any, path: str = "") -> Iterator[str]:
    """Places of the first that the second lacks or has another value at."""
    if isinstance(written, dict) and isinstance(known, dict):
        for name, inner in written.items():
            yield from differences(inner, known.get(name), f"{path}.{name}")
    elif isinstance(written, list) and isinstance(known, list) and len(written) == len(known):
        for index, (inner, other) in enumerate(zip(written, known, strict=True)):
            yield from differences(inner, other, f"{path}[{index}]")
    elif written != known:
        yield f"{path}: {written!r} is {known!r}"


def shown(expr: str) -> str:
    """What Grafana asks with everything chosen."""
    return expr.replace("$__rate_interval", "1m").replace("$job", ".*")


def metrics(server: Server) -> str:
    headers = {"authorization": f"Bearer {server.keys['admin']}"}
    return httpx.get(f"{server.url}/metrics", headers=headers, timeout=30).raise_for_status().text


def ask(url: str, call: str, **parameters: str) -> Any:
    answer = httpx.get(f"{url}/api/v1/{call}", params=parameters, timeout=30)
    assert answer.is_success, f"{parameters}: {answer.text}"
    return answer.json()["data"]


def value(url: str, query: str) -> float:
    found = ask(url, "query", query=query)["result"]
    return float(found[0]["value"][1]) if found else 0


def rules(url: str) -> dict[str, Any]:
    return {rule["name"]: rule for group in ask(url, "rules")["groups"] for rule in group["rules"]}

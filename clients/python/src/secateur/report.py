"""What a job says of what it did: `report.json`, and the frontier in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from . import errors, wire

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ProgramEdit(TypedDict):
    """A place of the TorchScript's source text that was changed."""

    module: str
    operator: str
    argument: str
    before: str
    after: str


class FrontierPoint(TypedDict):
    """One network that no other one beats in both MACs and accuracy."""

    candidate: int
    origin: str
    macs: int
    accuracy: float


class Report(Mapping[str, Any]):
    """`report.json`. As a mapping it has all of it; the attributes are what one looks at most."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def __getitem__(self, name: str) -> Any:
        return self._document[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def __len__(self) -> int:
        return len(self._document)

    @property
    def winner(self) -> str:
        """Which method the network came from."""
        return str(self["winner"])

    @property
    def base(self) -> wire.NetworkReport:
        """The original: MACs, parameters, bytes, accuracy, latency."""
        base: wire.NetworkReport = self["base"]
        return base

    @property
    def pruned(self) -> wire.NetworkReport:
        """The pruned network, as `base`."""
        pruned: wire.NetworkReport = self["pruned"]
        return pruned

    @property
    def reduction(self) -> dict[str, float]:
        """Share removed, by metric: `flops_reduction`, `params_reduction`, `channel_reduction`, `latency_reduction` as measured."""
        return dict(self["reduction"])

    @property
    def kept(self) -> dict[str, dict[int, list[int]]]:
        """For every changed tensor, by name, per axis, the kept original indices, ascending. Axis 1 of a grouped convolution's weight
        counts inside a group."""
        return {
            name: {int(axis): list(indices) for axis, indices in axes.items()} for name, axes in self["kept"].items()
        }

    @property
    def edits(self) -> list[ProgramEdit]:
        """The places of the TorchScript's source that follow the channels; empty where the file is a recording."""
        return list((self.get("export") or {}).get("edits") or [])

    @property
    def warnings(self) -> list[str]:
        """Findings that a reader could otherwise miss, in whole sentences."""
        return list(self["warnings"])

    @property
    def frontier(self) -> Frontier:
        """The best accuracies for their MACs."""
        return Frontier(self._document)

    def __repr__(self) -> str:
        base, pruned = self.base, self.pruned
        words = [
            f"MACs {base['macs']:,} -> {pruned['macs']:,}",
            f"parameters {base['params']:,} -> {pruned['params']:,}",
        ]
        before, after = base.get("accuracy"), pruned.get("accuracy")
        if before and after:
            words.append(f"test accuracy {before['test']:.2%} -> {after['test']:.2%}")
        return f"<Report {', '.join(words)}>"


#: The amounts of training that accuracies of a frontier were measured after, from none to most, with what a plot calls them.
_AMOUNTS = {
    "screened": "after the surgery",
    "repaired": "after the repair",
    "lightly_tuned": "after the light fine-tune",
    "tuned": "after the full fine-tune",
}


class Frontier(Mapping[str, list[FrontierPoint]]):
    """Networks that no other one beats in both MACs and validation accuracy, by ascending MACs.

    Accuracies after different amounts of training do not compare, so there is a list for each: ``screened``, ``repaired``,
    ``lightly_tuned`` and ``tuned``. Without labels all are empty.
    """

    def __init__(self, report: Mapping[str, Any]) -> None:
        found: Mapping[str, list[FrontierPoint]] = report.get("frontier") or {}
        self._points = {amount: list(found.get(amount) or []) for amount in _AMOUNTS}
        self._base: wire.NetworkReport = report["base"]
        self._pruned: wire.NetworkReport = report["pruned"]

    def __getitem__(self, amount: str) -> list[FrontierPoint]:
        return self._points[amount]

    def __iter__(self) -> Iterator[str]:
        return iter(self._points)

    def __len__(self) -> int:
        return len(self._points)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws validation accuracy over MACs, a line for each amount of training, with the original and the exported network.

        Needs matplotlib. ``ax``: where to draw; a new figure otherwise.

        Raises:
            MissingPackage: matplotlib is not installed.
            UsageError: Nothing was measured, since the job had no labels.
        """
        if not any(self._points.values()):
            raise errors.UsageError("the frontier has no points: accuracy is measured where the data set has labels")
        try:
            import matplotlib  # noqa: F401
        except ImportError as error:
            raise errors.MissingPackage("`frontier.plot` needs matplotlib: pip install 'secateur[plot]'") from error
        if ax is None:
            ax = _new_axes()
        for amount, points in self._points.items():
            if points:
                macs, accuracies = [point["macs"] for point in points], [point["accuracy"] for point in points]
                ax.plot(macs, accuracies, marker="o", label=_AMOUNTS[amount])
        for network, name, marker in ((self._base, "original", "s"), (self._pruned, "exported", "*")):
            if accuracy := network.get("accuracy"):
                ax.plot([network["macs"]], [accuracy["val"]], marker, markersize=12, color="black", label=name)
        ax.set_xlabel("multiply-accumulates of one sample")
        ax.set_ylabel("validation accuracy")
        ax.legend()
        return ax

    def __repr__(self) -> str:
        return f"<Frontier {', '.join(f'{amount}: {len(points)}' for amount, points in self._points.items())}>"


def _new_axes() -> Axes:
    from matplotlib import pyplot

    axes: Axes = pyplot.subplots()[1]
    return axes

"""Writes the hostile archives and their catalogue: `make_fixtures.py FOLDER CANARIES`.

Each attack becomes FOLDER/NAME.pt; its canaries lie in CANARIES/NAME, where the test puts them. `catalogue.json` says what
each is after and what the layers owe. `honest.pt` is the network that all are made from. Nothing but Python is needed.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "fixtures"))
sys.dont_write_bytecode = True

from archive import Archive  # noqa: E402
from attack import ATTACKS, Canary  # noqa: E402

import load  # noqa: E402,F401
import forward  # noqa: E402,F401
import bounds  # noqa: E402,F401
import pickles  # noqa: E402,F401
import container  # noqa: E402,F401


def main(folder: str, canaries: str) -> None:
    target = Path(folder)
    (target / "honest.pt").write_bytes(Archive.honest().bytes())
    catalogue = []
    for attack in ATTACKS:
        written = attack.write(Canary.below(canaries, attack.name))
        (target / f"{attack.name}.pt").write_bytes(written if isinstance(written, bytes) else written.bytes())
        catalogue.append(
            {
                "name": attack.name,
                "family": attack.family,
                "attack": attack.says,
                "effect": attack.effect,
                "preflight": attack.preflight,
                "at_load": attack.at_load,
            }
        )
    twice = {entry["name"] for entry in catalogue if sum(other["name"] == entry["name"] for other in catalogue) > 1}
    assert not twice, f"names that stand for two attacks: {twice}"
    (target / "catalogue.json").write_text(json.dumps(catalogue, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])

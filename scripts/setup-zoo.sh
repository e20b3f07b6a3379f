#!/usr/bin/env bash
# Makes a virtual environment with PyTorch, torchvision, timm, transformers and torchaudio in the cache and prints its python
# as the last line of stdout. `make zoo`, `make bench-recover` and `make bench-study` want it. The environment of setup-python.sh is left as it is: its stamp names its packages.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=scripts/venv.sh
. "$(dirname "$0")/venv.sh"

# limited.py needs Python 3.11.
print_venv zoo-venv "$(cd "$(dirname "$0")" && pwd)/zoo/requirements.txt" 11 "torch, torchvision, timm, transformers, torchaudio"

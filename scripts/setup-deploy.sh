#!/usr/bin/env bash
# Sets up what `make test-deploy` wants: Debian's builder and runtime of containers and its Slurm, where they are missing, and a virtual
# environment with an S3 server and the readers of manifests. Prints its python as the last line of stdout.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=scripts/venv.sh
. "$(dirname "$0")/venv.sh"

# A program of each package, and the package.
PROGRAMS=(buildah crun mmdebstrap munged slurmctld slurmd ip)
PACKAGES=(buildah crun mmdebstrap munge slurmctld slurmd iproute2)

main() {
    local missing=() index
    for index in "${!PROGRAMS[@]}"; do
        command -v "${PROGRAMS[index]}" >/dev/null || missing+=("${PACKAGES[index]}")
    done
    # slurm-client has sbatch; the common profile of seccomp comes with buildah's recommendations.
    command -v sbatch >/dev/null || missing+=(slurm-client)
    [ -f /usr/share/containers/seccomp.json ] || missing+=(golang-github-containers-common)
    [ ${#missing[@]} -eq 0 ] || install "${missing[@]}"
    print_venv deploy-venv "$(cd "$(dirname "$0")" && pwd)/deploy/requirements.txt" 11 \
        "boto3, cloudcoil.models.keda, compose_spec, kubernetes_validate, moto, yaml" 900000
}

install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || ! grep -q '^ID=debian' /etc/os-release; then
        fail "missing here: $*" "on Debian, as root: apt-get install --no-install-recommends $*"
    fi
    say "installing $* (once)"
    apt-get install -y --no-install-recommends "$@" >&2 ||
        { apt-get update >&2 && apt-get install -y --no-install-recommends "$@" >&2; }
}

main

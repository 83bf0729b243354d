#!/usr/bin/env bash
# Makes a base image from a Debian mirror, without a registry, and the
# sandbox's image ace_jax-sandbox:debian upon it. Needs root, ./run.sh setup,
# and the packages debootstrap and docker.io.
#
#   sudo docker/debootstrap.sh [SUITE] [MIRROR]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
suite=${1:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
tree=$(mktemp -d)
trap 'rm -rf "$tree" docker/image.tar' EXIT
debootstrap --variant=minbase "$suite" "$tree/root" ${2:+"$2"} >/dev/null
tar -C "$tree/root" -c . | docker import - ace_jax-base >/dev/null
.venv/bin/python -m ace_jax.sandbox image --out=docker/image.tar
docker build -q --network=none -t ace_jax-sandbox:debian \
  --build-arg BASE=ace_jax-base docker

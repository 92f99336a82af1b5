#!/bin/sh
# Whether an edge installs from wheels alone on small ARM machines (Raspberry Pi, Jetson, Orange Pi): nothing is
# compiled there. Nothing is installed here; the index says what there is.
set -eu
cd "$(dirname "$0")/.."
for version in 3.11 3.12 3.13; do
    uv pip install --quiet --dry-run --no-deps --require-hashes --only-binary :all: --target /nowhere \
        --python-platform aarch64-manylinux_2_28 --python-version "$version" -r requirements/edge.txt
    echo "CPython $version on aarch64: every package has a wheel"
done

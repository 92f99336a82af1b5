#!/bin/sh
# Whether each role installs from wheels alone on ARM machines (an edge on a Raspberry Pi, Jetson or Orange Pi, the
# images for arm64): nothing is compiled there. Nothing is installed here; the index says what there is.
set -eu
cd "$(dirname "$0")/.."
for role in edge control_plane worker; do
    for version in 3.11 3.12 3.13; do
        uv pip install --quiet --dry-run --no-deps --require-hashes --only-binary :all: --target /nowhere \
            --python-platform aarch64-manylinux_2_28 --python-version "$version" -r "requirements/$role.txt"
        echo "$role, CPython $version on aarch64: every package has a wheel"
    done
done

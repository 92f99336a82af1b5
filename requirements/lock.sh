#!/bin/sh
# Pins every role's packages with hashes (`lock.sh --upgrade` moves to the newest versions).
# The roles take their versions from dev.txt, so that all processes agree.
set -eu
cd "$(dirname "$0")/.."
lock() {
    role=$1; shift
    uv pip compile --quiet --no-header --no-annotate --generate-hashes --universal --python-version 3.11 \
        --overrides requirements/overrides.txt pyproject.toml --extra "$role" "$@" -o "requirements/$role.txt"
}
lock dev "$@"
for role in control_plane worker edge front; do lock "$role" -c requirements/dev.txt "$@"; done
grep -A100 '^uv==' requirements/dev.txt | awk 'NR==1 || /^ /{print; next} {exit}' > requirements/uv.txt

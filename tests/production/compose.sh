#!/usr/bin/env bash
# Builds the images and runs compose.yml for real: two control planes, two workers, a person enrolled, an event delivered
# to a webhook through it, and a database container that is killed. Needs root on Debian, with docker.io, docker-compose
# and debootstrap; takes some five minutes. Everything is under one temporary folder and is removed at the end.
#
# No registry of images is needed: local stand-ins bear the names that compose.yml asks for, made from Debian's packages.
set -euo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
photo=$(realpath "${1:?a photo of somebody}") film=$(realpath "${2:?a film in which they are seen}")
work=${3:-$(mktemp -d /tmp/rollcall-compose.XXXXXX)}
mkdir -p "$work"
export DOCKER_HOST=unix://$work/docker.sock DOCKER_BUILDKIT=0 COMPOSE_PROJECT_NAME=rollcalltest
docker=/usr/bin/docker
compose=(/usr/bin/docker-compose --project-directory "$work/site" -f "$work/site/compose.yml")

say() { printf '\n== %s\n' "$*"; }
until_true() { # seconds, command...
    local end=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then echo "not in time: $*"; "${compose[@]}" logs --tail 4 | cut -c1-300; exit 1; fi
        sleep 1
    done
}
finish() {
    "${compose[@]}" down --volumes --timeout 5 >/dev/null 2>&1 || true
    [ -z "${receiver:-}" ] || kill "$receiver" 2>/dev/null || true
    if [ -n "${engine:-}" ]; then
        kill "$engine"
        wait "$engine" 2>/dev/null || true
        ip link delete docker0 2>/dev/null || true
        iptables-save 2>/dev/null | grep -v -i -e docker -e br- | iptables-restore 2>/dev/null || true
        iptables -P FORWARD ACCEPT 2>/dev/null || true
        umount "$work"/exec/netns/* 2>/dev/null || true
        rm -rf "$work"
    fi
}
trap finish EXIT

if ! $docker info >/dev/null 2>&1; then
    say "an engine of its own"
    dockerd --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" -H "$DOCKER_HOST" >"$work/dockerd.log" 2>&1 &
    engine=$!
    for _ in $(seq 60); do $docker info >/dev/null 2>&1 && break; sleep 0.5; done
fi

if ! $docker image inspect rollcall-stand-in:base >/dev/null 2>&1; then
    say "a base from Debian's packages"
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,postgresql,redis-server bookworm "$work/base" >"$work/debootstrap.log"
    cp /etc/ssl/certs/ca-certificates.crt "$work/base/etc/ssl/certs/"
    tar -C "$work/base" -c . | $docker import - rollcall-stand-in:base >/dev/null
fi
say "stand-ins for postgres:16 and redis:7"
mkdir -p "$work/stand-in"
cat >"$work/stand-in/entrypoint" <<'EOF'
#!/bin/bash
# What the official image's entrypoint does of what compose.yml asks.
set -e
bin=$(ls -d /usr/lib/postgresql/*/bin) data=/var/lib/postgresql/data
chown postgres "$data"
as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
if [ ! -s $data/PG_VERSION ]; then
    install -o postgres -m 600 "$POSTGRES_PASSWORD_FILE" /tmp/password
    as "$bin/initdb" -D $data -U "$POSTGRES_USER" -E UTF8 -A scram-sha-256 --auth-local=trust --pwfile=/tmp/password >/dev/null
    rm /tmp/password
    echo "host all all all scram-sha-256" >>$data/pg_hba.conf
    as "$bin/pg_ctl" -D $data -o "-c listen_addresses=''" -w start >/dev/null
    as "$bin/createdb" -U "$POSTGRES_USER" "$POSTGRES_DB"
    for file in /docker-entrypoint-initdb.d/*.sql; do as "$bin/psql" -q -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f "$file"; done
    as "$bin/pg_ctl" -D $data -w stop >/dev/null
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups "$bin/postgres" -D $data -c listen_addresses='*' "${@:2}"
EOF
chmod +x "$work/stand-in/entrypoint"
printf 'FROM rollcall-stand-in:base\nCOPY entrypoint /entrypoint\nRUN mkdir -p /docker-entrypoint-initdb.d /var/run/postgresql && chmod 777 /var/run/postgresql\nENTRYPOINT ["/entrypoint"]\n' >"$work/stand-in/Dockerfile"
$docker build -q -t postgres:16 "$work/stand-in" >/dev/null
$docker tag rollcall-stand-in:base redis:7

say "the images"
for role in control_plane worker edge; do
    $docker build -q --network host --build-arg PYTHON=rollcall-stand-in:base --target $role -t rollcall/$role "$project" >/dev/null
    echo "rollcall/$role: $($docker image inspect -f '{{.Size}}' rollcall/$role | numfmt --to=iec)"
done
$docker run --rm rollcall/edge python -c 'import edge.__main__; import importlib.util as u; assert not u.find_spec("starlette")'
$docker run --rm rollcall/worker python -c 'import jobs.worker; import importlib.util as u; assert not u.find_spec("starlette")'
$docker run --rm rollcall/control_plane python -c 'import control_plane.__main__; import importlib.util as u; assert not u.find_spec("onnxruntime")'

say "a site, as docs/machines.md says"
mkdir -p "$work/site/secrets" "$work/site/deploy"
cp "$project/compose.yml" "$work/site/"
cp "$project/deploy/vault.sql" "$work/site/deploy/"
cd "$work/site"
head -c 24 /dev/urandom | base64 | tr -d '/+=' >secrets/database_password
for name in rollcall vault; do
    file=secrets/$([ $name = vault ] && echo vault_url || echo database_url)
    printf 'postgresql://rollcall:%s@postgres/%s\n' "$(cat secrets/database_password)" $name >"$file"
done
$docker run --rm rollcall/control_plane python -m rollcall secrets new >secrets/master_key
chmod 644 secrets/*
python3 - "$work/told" <<'EOF' &
import http.server, sys
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open(sys.argv[1], "ab") as file:
            file.write(self.rfile.read(int(self.headers["Content-Length"])) + b"\n")
        self.send_response(204)
        self.end_headers()
http.server.HTTPServer(("0.0.0.0", 8099), Receiver).serve_forever()
EOF
receiver=$!
"${compose[@]}" up -d postgres redis
host=$($docker network inspect ${COMPOSE_PROJECT_NAME}_default -f '{{(index .IPAM.Config 0).Gateway}}')
export WEBHOOK_ALLOW=$host:8099
until_true 90 bash -c "[ \"\$($docker inspect -f '{{.State.Health.Status}}' \$(${compose[*]} ps -q postgres))\" = healthy ]"
"${compose[@]}" run --rm migrate
key=$("${compose[@]}" run --rm -T control_plane python -m rollcall keys create --role admin | tr -d '\r' | grep -o 'rc_[^ ]*')
"${compose[@]}" up -d --scale control_plane=2 --scale worker=2

healthy() {
    for service in control_plane worker; do
        for id in $("${compose[@]}" ps -q $service); do
            [ "$($docker inspect -f '{{.State.Health.Status}}' "$id")" = healthy ] || return 1
        done
        [ "$("${compose[@]}" ps -q $service | wc -l)" = 2 ] || return 1
    done
}
say "two control planes and two workers, healthy"
until_true 180 healthy
"${compose[@]}" ps
mapfile -t urls < <(for id in $("${compose[@]}" ps -q control_plane); do $docker port "$id" 5000/tcp | sed 's,^,http://,'; done)
echo "${urls[@]}"
call() { curl -sS --fail-with-body -H "Authorization: Bearer $key" "$@"; }

say "a person is enrolled through one, and known to the other"
call -F name=Joe -F "image=@$photo" "${urls[0]}/register"
until_true 10 bash -c "curl -sS -H 'Authorization: Bearer $key' ${urls[1]}/faces | grep -q Joe"
call -H 'Content-Type: application/json' -d "{\"url\": \"http://$host:8099/hook\", \"statuses\": [\"PASS\"]}" "${urls[1]}/v1/webhooks" >/dev/null

edge() { # an edge on a machine of its own plays the film, and ends when its events are delivered
    timeout 120 $docker run --rm --name edge --network ${COMPOSE_PROJECT_NAME}_default --read-only --tmpfs /tmp -v ${COMPOSE_PROJECT_NAME}_edge:/data \
        --cap-drop ALL --security-opt no-new-privileges -v "$film:/film:ro" -v "$work/edge_key:/run/secrets/edge_key:ro" \
        -e EDGE_KEY_FILE=/run/secrets/edge_key -e EDGE_NAME=gate -e CAMERA=door -e VIDEO_SOURCE=/film \
        -e VIDEO_PACE=every_frame -e EXIT_AT_END=true -e CONTROL_PLANE_URL=http://control_plane:5000 rollcall/edge
}
passes() { call "${urls[$1]}/v1/events?status=PASS&limit=500" | python3 -c 'import json,sys; print("\n".join(sorted(e["id"] for e in json.load(sys.stdin)["items"])))'; }
told() { [ -f "$work/told" ] && python3 -c 'import json,sys; print("\n".join(sorted({json.loads(l)["id"] for l in open(sys.argv[1])})))' "$work/told"; }
all_told() { [ -n "$(passes 0)" ] && [ "$(passes 0)" = "$(told)" ] && [ "$(passes 1)" = "$(told)" ]; }

say "an edge sees that person; the webhook is told each event once"
"${compose[@]}" run --rm -T control_plane python -m rollcall keys create --role edge --site default | tr -d '\r' | grep -o 'rc_[^ ]*' >"$work/edge_key"
chmod 644 "$work/edge_key"
edge 2>&1 | tail -3
until_true 60 all_told
before=$(passes 0 | wc -l)
echo "$before passes"

say "the database container is killed"
database() { $docker inspect -f "{{.State.$1}}" "$("${compose[@]}" ps -q postgres 2>/dev/null)"; }
started=$(database StartedAt)
kill -9 "$(database Pid)"
statuses=""
for _ in $(seq 40); do
    statuses+=" $(curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $key" "${urls[0]}/v1/sites")"
    sleep 0.1
done
echo "answered meanwhile:" $(tr ' ' '\n' <<<"$statuses" | sort | uniq -c)
# It is up again in a moment, which most requests wait for; the others are told to come again.
[ -z "$(tr ' ' '\n' <<<"$statuses" | grep -v -x -e '' -e 200 -e 503)" ]
[ "$(database StartedAt)" != "$started" ]
until_true 90 healthy
until_true 30 call "${urls[0]}/v1/sites"
edge 2>&1 | tail -3
until_true 60 all_told
after=$(passes 0 | wc -l)
echo "$after passes"
[ "$after" -gt "$before" ]
call "${urls[1]}/faces" | grep Joe

say "the centre's commands: a backup onto two disks, and the master key exchanged, as docs/operations.md and docs/security.md say"
rollcall() { "${compose[@]}" run --rm -T control_plane python -m rollcall "$@"; }
install -d -m 700 -o 10001 -g 10001 "$work/one" "$work/two"
"${compose[@]}" run --rm -T -v "$work/one:/backup" -v "$work/two:/keys" control_plane python -m rollcall backup /backup --vault /keys
[ -f "$work/one/backup.json" ]
new=$(rollcall secrets new | tr -d '\r' | grep -o 'rcm_[^ ]*')
old=$(cat secrets/master_key)
printf '%s\n' "$new" "$old" >secrets/master_key
"${compose[@]}" restart control_plane worker
rollcall secrets rotate
printf '%s\n' "$new" >secrets/master_key
"${compose[@]}" restart control_plane worker
until_true 90 healthy
rollcall doctor centre || [ $? = 2 ] # The edge's machine is silent by now.
say "all is well"

#!/bin/bash
# The API against its own description: whatever is asked, there is no 500 and no answer that the description does not have.
#   tests/schemathesis/run.sh SERVER      the server's binary; PUBLISHER=… (shibuki-loadtest) publishes a stream meanwhile
# Three runs of at most 35 s: nobody's key but on the server's own machine, an operator's key, and no key where one is needed.
# GET /api/v1/events has no end: tests/http_conformance has it instead. Schemathesis comes from PyPI, once, into the user's cache.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
SERVER=$(realpath "$1")
SECONDS_EACH=${SECONDS_EACH:-35}
VENV=${XDG_CACHE_HOME:-$HOME/.cache}/shibuki-tools/schemathesis-$(sha256sum "$HERE/requirements.txt" | cut -c1-12)
if [ ! -e "$VENV/ready" ]; then
  rm -rf "$VENV"
  python3 -m venv "$VENV"
  "$VENV/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$HERE/requirements.txt"
  touch "$VENV/ready"
fi

WORK=$(mktemp -d)
STARTED=()
finish() {
  for process in "${STARTED[@]}"; do kill "$process" 2>/dev/null || true; done
  wait
  rm -rf "$WORK"
}
trap finish EXIT

PORT=
serve() { # serve NAME OPTION…: sets PORT
  local name=$1 process
  shift
  for _ in 1 2 3 4 5; do
    PORT=$((20000 + RANDOM % 12000))
    # From an empty directory: no shibuki.toml of anybody's is read.
    (cd "$WORK" && exec "$SERVER" --http "127.0.0.1:$PORT" --media-port "$PORT" --log warn --rate-limit 0 "$@") >"$WORK/$name.log" 2>&1 &
    process=$!
    for _ in $(seq 100); do
      grep -q ' is up' "$WORK/$name.log" && break 2
      kill -0 $process 2>/dev/null || break
      sleep 0.1
    done
    kill $process 2>/dev/null || true
  done
  STARTED+=($process)
}

try() { # try NAME OPTION…
  local name=$1
  shift
  echo "-- $name"
  if ! (cd "$WORK" && "$VENV/bin/schemathesis" --config-file "$HERE/schemathesis.toml" run "http://127.0.0.1:$PORT/api/openapi.json" \
    --phases examples,coverage,fuzzing --max-time "$SECONDS_EACH" --request-timeout 10 --exclude-path /api/v1/events \
    --exclude-checks positive_data_acceptance --generation-database none --seed 7 --warnings off --no-color "$@" >"$WORK/out" 2>&1); then
    cat "$WORK/out"
    return 1
  fi
  grep -E '^ +[0-9]+ generated|Tested:|passed' "$WORK/out"
}

serve local
LOCAL=$PORT
if [ -n "${PUBLISHER:-}" ]; then
  "$PUBLISHER" publish --url "http://127.0.0.1:$PORT/whip/live" >"$WORK/publisher.log" 2>&1 &
  STARTED+=($!)
fi
try "an operator on the server's own machine"

serve closed --keys-admin operators-key --keys-watch viewers-key
try "with an operator's key" --header "Authorization: Bearer operators-key"
try "without a key where one is needed"

# The servers live, and none of their threads has panicked.
for port in "$LOCAL" "$PORT"; do
  "$VENV/bin/python" -c "import urllib.request as u; assert u.urlopen('http://127.0.0.1:$port/healthz').read() == b'ok\n'"
done
! grep -h panicked "$WORK"/local.log "$WORK"/closed.log

#!/usr/bin/env bash
# One order by curl: placed, repeated, followed, explained. scripts/up first.
#   examples/session.sh [http://127.0.0.1:8080]
set -euo pipefail
usage="One order by curl: examples/session.sh [http://127.0.0.1:8080]   (scripts/up first)"
case "${1:-http://}" in
  http://* | https://*) ;;
  -h | --help) echo "$usage"; exit 0 ;;
  *) echo "$usage" >&2; exit 2 ;;
esac
url=${1:-http://127.0.0.1:8080}
key="session-$RANDOM-$$"

step() { printf '\n# %s\n' "$*"; }

place() {
  curl -sS "$url/deliveries" -H 'content-type: application/json' -H "idempotency-key: $key" \
    -d '{"origin": {"lat": 41.89, "lon": 12.48}, "destination": {"lat": 41.92, "lon": 12.51}, "weight": 1.2}'
}

step "place an order"
answer=$(place)
echo "$answer"
id=$(sed -E 's/.*"id": ?"([0-9A-Z]{26})".*/\1/' <<<"$answer")

step "the same key again is the same order, however often it is sent"
place
echo

step "what has become of it"
curl -sS "$url/deliveries/$id"
echo

step "why it is where it is"
why=$(curl -sS "$url/deliveries/$id/why")
echo "${why:0:600}"

step "the newest orders; 'next' is the cursor of the next page"
curl -sS "$url/deliveries?limit=2"
echo

step "a wrong field is named"
curl -sS "$url/deliveries" -H 'content-type: application/json' -d '{"origin": {"lat": 41.89, "lon": 12.48}, "weight": -1}'
echo

step "two seconds of the live events"
curl -sSN --max-time 2 "$url/events?topics=deliveries" || [[ $? == 28 ]]

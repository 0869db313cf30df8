#!/usr/bin/env bash
# Shows that an upgrade of the running stack costs nobody an answer: replaces every
# container of ours (or of the services named), one after the other, while somebody asks and writes through
# the gateways. Fails when a request fails that was sent again as its Retry-After
# says, or when a container is still the old one.
set -euo pipefail
cd "$(dirname "$0")/.."
services=${*:-subject-rpc vitals-rpc dicom-rpc epro-rpc project-api}
bin/clinctl demo >/dev/null
token=$(bin/clinctl token --sub upgrade --role investigator --project demo)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ours() { docker ps -q --no-trunc --filter label=com.docker.compose.project=clinsource | while read -r id; do
  docker inspect -f '{{.Name}} {{.Id}}' "$id"; done | grep -E "_(${services// /|})_|-(${services// /|})-" | sort; }
# curl sends a request again after 408, 429 and 5xx, and after lost connections.
ask() { curl -fs -o /dev/null --max-time 10 --retry 8 --retry-connrefused --retry-all-errors --cacert certs/dev/ca.crt -H "Authorization: Bearer $token" "$@"; }
caller() {
  local n=0
  while [ ! -e "$work/stop" ]; do
    n=$((n + 1))
    ask https://127.0.0.1:8443/v1/projects/demo?require=subjects,vitals,images,reports,medications || echo "view $n" >>"$work/failed"
    ask -H 'Content-Type: application/json' -d "{\"client_record_id\":\"upgrade-$1-$n-$$\",\"measurement_time\":\"2026-05-01T08:00:00Z\",\"heart_rate\":{\"beats_per_minute\":70}}" \
      https://127.0.0.1:8443/v1/projects/demo/subjects/demo-001/vitals || echo "write $n" >>"$work/failed"
    echo >>"$work/done.$1"
  done
}

ours >"$work/before"
for i in 1 2 3; do caller $i & done
deploy/compose.sh upgrade $services >/dev/null
touch "$work/stop"
wait
ours >"$work/after"
[ "$(wc -l <"$work/before")" = "$(wc -l <"$work/after")" ] || { echo "upgrade: other containers than before:" >&2; cat "$work/after" >&2; exit 1; }
if same=$(comm -12 "$work/before" "$work/after") && [ -n "$same" ]; then echo "upgrade: still the old ones: $same" >&2; exit 1; fi
if [ -e "$work/failed" ]; then echo "upgrade: requests failed:" >&2; sort "$work/failed" | uniq -c >&2; exit 1; fi
echo "upgraded $(wc -l <"$work/after") containers; $(cat "$work"/done.* | wc -l) views and as many writes, none failed"

#!/usr/bin/env bash
# Shows that replicas added by --scale take load: sets vitals-rpc to four on the
# running stack, sends requests through the gateways, and asks Prometheus how many
# calls each replica has served. Fails when one has served none.
set -euo pipefail
cd "$(dirname "$0")/.."
export SCALE="vitals-rpc=4" NO_IMAGES=1
deploy/compose.sh up
bin/clinctl demo >/dev/null
token=$(bin/clinctl token --sub scale --role monitor --project demo)

# served lists "address calls" of every replica that Prometheus sees up.
served() {
  curl -fs --max-time 5 -G http://127.0.0.1:9090/api/v1/query --data-urlencode \
    'query=sum by (instance) (clinsource_rpc_server_calls_total{job="vitals-rpc",method!~".*Health.*"}) and on (instance) up{job="vitals-rpc"} == 1' |
    grep -oE '"instance":"[^"]*"\},"value":\[[^]]*\]' | sed -E 's/.*"instance":"([^"]*)".*,"([0-9.]*)"\]/\1 \2/'
}

for _ in $(seq 30); do
  seq 50 | xargs -P 8 -I{} curl -fs -o /dev/null --max-time 10 --cacert certs/dev/ca.crt \
    -H "Authorization: Bearer $token" https://127.0.0.1:8443/v1/projects/demo
  if [ "$(served | awk '$2 > 0' | wc -l)" = 4 ]; then
    echo "calls that each replica of vitals-rpc has served:"
    served | sed 's/^/  /'
    exit 0
  fi
  sleep 1
done
echo "scale: not all four replicas of vitals-rpc serve:" >&2
served >&2
exit 1

#!/usr/bin/env bash
# Brings the compose stack up and waits for its health, or ends it: what `make
# compose-up` and `make compose-down` do. SMALL=1 takes the small compose file.
set -euo pipefail
cd "$(dirname "$0")/.."
file=deploy/docker-compose${SMALL:+.small}.yml
export CLINSOURCE_IMAGES=${CLINSOURCE_IMAGES-local/} DOCKER_BUILDKIT=0

compose() {
  if command -v docker-compose >/dev/null; then docker-compose -f "$file" "$@"; else docker compose -f "$file" "$@"; fi
}

# unhealthy lists containers that are not up or do not say that they are well.
unhealthy() {
  compose ps -q | xargs -r docker inspect -f \
    '{{.Name}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}}' |
    grep -v ' running healthy$' || true
}

answers() { curl -fs -o /dev/null --max-time 2 --cacert certs/dev/ca.crt https://127.0.0.1:8443/readyz; }

up() {
  if [ "$CLINSOURCE_IMAGES" = local/ ]; then make -s images; fi
  deploy/secrets.sh
  compose up -d --no-build "$@"
  local end=$((SECONDS + 120)) waiting=unknown
  while [ $SECONDS -lt $end ]; do
    waiting=$(unhealthy)
    if [ -z "$waiting" ] && answers; then
      echo "ready https://127.0.0.1:8443"
      return
    fi
    sleep 1
  done
  echo "the stack is not ready after two minutes; not well: ${waiting:-the gateway does not answer}" >&2
  compose logs --tail=20 >&2
  exit 1
}

case ${1:-} in
  up) shift; up "$@" ;;
  down) compose down --remove-orphans ${VOLUMES:+--volumes} ;;
  *) echo "usage: deploy/compose.sh up|down" >&2; exit 2 ;;
esac

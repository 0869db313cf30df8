#!/usr/bin/env bash
# Brings the compose stack up and waits for its health, upgrades it (or the services named), or ends it: what
# `make compose-up` and `make compose-down` do. SMALL=1 takes the small compose file,
# SCALE="vitals-rpc=4 epro-rpc=3" other numbers of replicas than two.
set -euo pipefail
cd "$(dirname "$0")/.."
file=deploy/docker-compose${SMALL:+.small}.yml
export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-clinsource}
export CLINSOURCE_IMAGES=${CLINSOURCE_IMAGES-local/} DOCKER_BUILDKIT=0

compose() {
  if command -v docker-compose >/dev/null; then docker-compose -f "$file" "$@"; else docker compose -f "$file" "$@"; fi
}

# unhealthy lists containers that are not up or do not say that they are well.
unhealthy() {
  compose ps -q | xargs -r docker inspect -f \
    '{{.Name}} {{.State.Status}} {{.State.ExitCode}} {{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}}' |
    grep -v -e ' running 0 healthy$' -e 'migrate_1 exited 0 ' -e 'migrate-1 exited 0 ' || true
}

# local images are built by make images; others are pulled, or built by compose.
build=''
if [ "$CLINSOURCE_IMAGES" = local/ ]; then build=--no-build; fi
scale=()
for part in ${SCALE:-}; do scale+=(--scale "$part"); done

answers() { curl -fs -o /dev/null --max-time 2 --cacert certs/dev/ca.crt https://127.0.0.1:8443/readyz; }

up() {
  if [ "$CLINSOURCE_IMAGES" = local/ ] && [ -z "${NO_IMAGES:-}" ]; then make -s images; fi
  deploy/secrets.sh
  # A slow machine may miss a health check at the start; what has failed is
  # tried again by the second call, what runs is left alone.
  compose up -d $build "${scale[@]}" || { sleep 10; compose up -d $build "${scale[@]}"; }
  ready
}

# ready waits until every container says that it is well and the gateway answers.
ready() {
  local end=$((SECONDS + 180)) waiting=unknown
  while [ $SECONDS -lt $end ]; do
    waiting=$(unhealthy)
    if [ -z "$waiting" ] && answers; then
      echo "ready https://127.0.0.1:8443"
      return
    fi
    sleep 1
  done
  echo "the stack is not ready after three minutes; not well: ${waiting:-the gateway does not answer}" >&2
  compose logs --tail=20 >&2
  exit 1
}

# upgrade replaces one container after the other, while its twins go on: stop it
# (it deregisters and drains), remove it, let compose make what is missing, and wait
# for its health. (docker-compose 1.29 fails on recreate beside newer engines.)
upgrade() {
  local service containers container
  if [ "$CLINSOURCE_IMAGES" = local/ ]; then make -s images; fi
  if [ $# = 0 ]; then set -- subject-rpc vitals-rpc dicom-rpc epro-rpc project-api; fi
  for service; do
    containers=$(compose ps -q "$service")
    for container in $containers; do
      docker stop -t 20 "$container"
      docker rm "$container"
      compose up -d $build --no-deps --no-recreate --scale "$service=$(wc -w <<<"$containers")" "$service"
      ready
    done
  done
}

case ${1:-} in
  up) up ;;
  upgrade) upgrade "${@:2}" ;;
  down) compose down --remove-orphans ${VOLUMES:+--volumes} ;;
  *) echo "usage: deploy/compose.sh up|upgrade [SERVICE...]|down" >&2; exit 2 ;;
esac

#!/usr/bin/env bash
# Builds every image of the compose files under the prefix local/ where no
# registry can be reached: our processes and etcd from bin/, FROM scratch;
# PostgreSQL, haproxy and Prometheus from Debian's packages. CLINSOURCE_IMAGES=local/
# makes the compose files take them. Lists the sizes at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."
export DOCKER_BUILDKIT=0 # The classic builder, which every Docker has.
version=${CLINSOURCE_VERSION:-dev}
here=deploy/images
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ours builds the targets of deploy/Dockerfile on binaries that are there: an image
# of them takes the place of the build stage and of etcd's own.
ours() {
  local name
  mkdir -p "$work/out/out/data" "$work/out/usr/local/bin"
  for name in vitals-rpc dicom-rpc epro-rpc subject-rpc project-api clinctl; do
    cp "bin/$name" "bin/sbom/$name.cdx.json" "$work/out/out/"
  done
  chmod 0644 "$work"/out/out/*.cdx.json
  cp bin/etcd bin/etcdctl "$work/out/usr/local/bin/"
  tar -C "$work/out" --owner=0 --group=0 --numeric-owner -c . | docker import - local/clinsource/binaries >/dev/null
  rm -rf "$work/out"
  {
    echo 'FROM local/clinsource/binaries AS build'
    echo 'FROM local/clinsource/binaries AS etcd-official'
    sed -n '/^FROM scratch AS process/,$p' deploy/Dockerfile
  } >"$work/Dockerfile"
  for name in vitals-rpc dicom-rpc epro-rpc subject-rpc project-api clinctl; do
    build "$name" "clinsource/$name:$version"
  done
  build etcd clinsource/etcd:3.6.16
  docker rmi local/clinsource/binaries >/dev/null
}

build() {
  docker build -q --target "$1" -t "local/$2" - <"$work/Dockerfile" >/dev/null 2>"$work/said" || { cat "$work/said" >&2; return 1; }
}

# foreign makes an image of Debian packages: NAME USER PACKAGES FILE... ; what is
# in the folder of that name beside this script goes in too. VOLUME is made and
# belongs to USER.
foreign() {
  local image=$1 owner=$2 volume=$3 packages=$4 changes=$5
  shift 5
  local name=${image##*/}
  name=${name%%:*}
  if docker image inspect "local/$image" >/dev/null 2>&1 && [ -z "${REBUILD:-}" ]; then
    return # As it was; REBUILD=1 fetches today's packages.
  fi
  local root=$work/$name
  mkdir -p "$root/tmp" "$root/etc"
  chmod 1777 "$root/tmp"
  printf 'root:x:0:0:root:/:/bin/sh\n%s:x:%s:%s:%s:/:/bin/sh\n' "$name" "$owner" "$owner" "$name" >"$root/etc/passwd"
  printf 'root:x:0:\n%s:x:%s:\n' "$name" "$owner" >"$root/etc/group"
  "$here/debian.sh" "$work/$name.work" "$root" "$packages" "$@"
  if [ -x "$root/bin/busybox" ]; then shell "$root/bin"; fi
  if [ -d "$here/$name" ]; then cp -r "$here/$name/." "$root/"; fi
  mkdir -p "$work/$name.owned$volume"
  tar -C "$root" --owner=0 --group=0 --numeric-owner -cf "$work/$name.tar" .
  tar -C "$work/$name.owned" --owner="$owner" --group="$owner" --numeric-owner --mode=0700 -rf "$work/$name.tar" ".$volume"
  local args=() change
  while IFS= read -r change; do args+=(--change "$change"); done <<<"$changes"
  docker import -m "built without a registry by deploy/images/local.sh" "${args[@]}" "$work/$name.tar" "local/$image" >/dev/null
  rm -rf "$work/$name"*
}

# shell gives an image with busybox the few commands that are used there.
shell() {
  local name
  for name in sh cat chmod chown cp id ls mkdir mv rm sleep test; do ln -sf busybox "$1/$name"; done
}

debian() {
  local pg=/usr/lib/postgresql/15
  foreign postgres:15 999 /var/lib/postgresql/data "postgresql-15 busybox-static tzdata" \
    "ENV PATH=$pg/bin:/bin PGDATA=/var/lib/postgresql/data
USER 999:999
ENTRYPOINT [\"/docker-entrypoint.sh\"]
CMD [\"postgres\"]
EXPOSE 5432" \
    $pg/bin/postgres $pg/bin/initdb $pg/bin/pg_ctl $pg/bin/psql $pg/bin/pg_isready \
    $pg/bin/pg_dump $pg/bin/pg_restore $pg/bin/pg_basebackup $pg/lib /usr/share/postgresql/15 \
    /usr/share/zoneinfo /bin/busybox
  foreign haproxy:2.6 65532 /run haproxy \
    "ENV PATH=/usr/sbin
USER 65532:65532
CMD [\"haproxy\", \"-W\", \"-db\", \"-f\", \"/usr/local/etc/haproxy/haproxy.cfg\"]" \
    /usr/sbin/haproxy
  foreign prom/prometheus:v2.42.0 65534 /prometheus prometheus \
    "USER 65534:65534
ENTRYPOINT [\"/usr/bin/prometheus\"]
EXPOSE 9090" \
    /usr/bin/prometheus /usr/bin/promtool
}

docker info >/dev/null || { echo "images: the Docker daemon does not answer" >&2; exit 1; }
ours
debian
docker image prune -f >/dev/null
docker images --format '{{.Repository}}:{{.Tag}}\t{{.Size}}' | grep '^local/' | sort | expand -t 48

#!/usr/bin/env bash
# Proves deploy/Dockerfile where no registry can be reached: builds it, unchanged,
# on stand-ins for its base images that carry the official names. golang is this
# machine's Go with a busybox for RUN, and with the packages that it has compiled
# already (a cold build takes two cores several minutes); etcd's is bin/etcd. The
# modules come as vendor/ in the context, as for any build without a module proxy;
# the build itself runs without a network. Removes the stand-ins at the end: whoever
# can pull gets the true ones.
set -euo pipefail
cd "$(dirname "$0")/../.."
export DOCKER_BUILDKIT=0
work=$(mktemp -d)
golang=golang:1.26.8-bookworm etcd=gcr.io/etcd-development/etcd:v3.6.16
made=()
trap 'docker rmi -f "${made[@]}" >/dev/null 2>&1 || true; docker image prune -f >/dev/null || true; rm -rf "$work"' EXIT

for name in $golang $etcd; do
  if docker image inspect "$name" >/dev/null 2>&1; then
    echo "standins: $name is here already; the stand-in would take its name" >&2
    exit 1
  fi
done

# The context: what is in git, and the modules.
mkdir "$work/context"
git -c safe.directory='*' ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -T - -c | tar -C "$work/context" -x
GOFLAGS='' go mod vendor -o "$work/context/vendor"

# compiled copies those packages out of Go's cache that the build will ask for: the
# archives, and the entries that lead to them and to empty outputs.
compiled() {
  local to=$1
  mkdir -p "$to"
  (
    cd "$work/context"
    export CGO_ENABLED=0 GOFLAGS="-tags=no_k8s -trimpath"
    go list -export -deps -f '{{.Export}}' ./vitals-rpc ./dicom-rpc ./epro-rpc ./subject-rpc ./project-api ./cmd/clinctl |
      sed -n 's#.*/\([0-9a-f]*\)-d$#\1#p'
    sha256sum </dev/null | cut -d' ' -f1
  ) | sort -u >"$work/ids"
  (
    cd "$(go env GOCACHE)"
    {
      sed 's#^\(..\)\(.*\)#\1/\1\2-d#' "$work/ids"
      grep -rlF --include='*-a' -f "$work/ids" .
    } | tar -T - -c
  ) | tar -C "$to" -x
}

# The stand-in for golang: /usr/local/go, a shell, and the folders that Go writes.
deploy/images/debian.sh "$work/debs" "$work/golang" "libc6 busybox-static" /bin/busybox
mkdir -p "$work/golang/usr/local" "$work/golang/tmp" "$work/golang/go"
for command in sh mkdir; do ln -s busybox "$work/golang/bin/$command"; done
compiled "$work/golang/go/cache"
tar -C "$work/golang" -cf "$work/golang.tar" .
tar --transform "s#^\./#./usr/local/go/#" -C "$(go env GOROOT)" \
  -rf "$work/golang.tar" ./bin ./pkg ./src ./go.env ./VERSION
made+=("$golang")
docker import --change 'ENV PATH=/usr/local/go/bin:/bin GOPATH=/go GOCACHE=/go/cache GOTOOLCHAIN=local' \
  "$work/golang.tar" "$golang" >/dev/null
rm -rf "$work/golang" "$work/golang.tar" "$work/debs"

mkdir -p "$work/etcd/usr/local/bin"
cp bin/etcd bin/etcdctl "$work/etcd/usr/local/bin/"
made+=("$etcd")
tar -C "$work/etcd" -c . | docker import - "$etcd" >/dev/null

# The last target: this builder makes every stage before it too. That each image
# starts is shown by the stack, whose images end in the same stages.
made+=(standin/etcd)
docker build -q --network none -f deploy/Dockerfile --target etcd -t standin/etcd "$work/context" 2>"$work/said" >/dev/null ||
  { cat "$work/said" >&2; exit 1; }
docker run --rm --read-only --network none standin/etcd etcd --version | head -1
echo "deploy/Dockerfile builds"

#!/usr/bin/env bash
# Proves deploy/Dockerfile where no registry can be reached: builds it, unchanged,
# on stand-ins for its base images that carry the official names. golang is this
# machine's Go with a busybox for RUN; etcd's is bin/etcd. The modules come as
# vendor/ in the context, as for any build without a module proxy; the build itself
# runs without a network. Removes the stand-ins at the end: whoever can pull gets
# the true ones.
set -euo pipefail
cd "$(dirname "$0")/../.."
export DOCKER_BUILDKIT=0
work=$(mktemp -d)
golang=golang:1.26.8-bookworm etcd=gcr.io/etcd-development/etcd:v3.6.16
made=()
trap 'docker rmi -f "${made[@]}" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

for name in $golang $etcd; do
  if docker image inspect "$name" >/dev/null 2>&1; then
    echo "standins: $name is here already; the stand-in would take its name" >&2
    exit 1
  fi
done

# The stand-in for golang: /usr/local/go, a shell, and the folders that Go writes.
go_tree=$(go env GOROOT)
deploy/images/debian.sh "$work/debs" "$work/golang" "libc6 busybox-static" /bin/busybox
mkdir -p "$work/golang/usr/local" "$work/golang/root" "$work/golang/tmp" "$work/golang/go"
for command in sh mkdir; do ln -s busybox "$work/golang/bin/$command"; done
tar -C "$work/golang" -cf "$work/golang.tar" .
tar --transform "s#^\./#./usr/local/go/#" -C "$go_tree" --exclude=./test --exclude=./doc --exclude=./api \
  -rf "$work/golang.tar" ./bin ./pkg ./src ./go.env ./VERSION
made+=("$golang")
docker import --change 'ENV PATH=/usr/local/go/bin:/bin GOPATH=/go GOTOOLCHAIN=local HOME=/root' \
  "$work/golang.tar" "$golang" >/dev/null
rm -rf "$work/golang" "$work/golang.tar" "$work/debs"

mkdir -p "$work/etcd/usr/local/bin"
cp bin/etcd bin/etcdctl "$work/etcd/usr/local/bin/"
made+=("$etcd")
tar -C "$work/etcd" -c . | docker import - "$etcd" >/dev/null

# The context: what is in git, and the modules.
mkdir "$work/context"
git -c safe.directory='*' ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -T - -c | tar -C "$work/context" -x
go mod vendor -o "$work/context/vendor"

for target in vitals-rpc dicom-rpc epro-rpc subject-rpc project-api clinctl etcd; do
  made+=("standin/$target")
  docker build -q --network none -f deploy/Dockerfile --target "$target" -t "standin/$target" "$work/context" 2>"$work/said" >/dev/null ||
    { cat "$work/said" >&2; exit 1; }
done

# What came out starts, as its own user, with nothing to write.
for target in vitals-rpc dicom-rpc epro-rpc subject-rpc project-api; do
  said=$(docker run --rm --read-only --network none "standin/$target" -h 2>&1 || true)
  case $said in
    *"$target: "*) ;;
    *) echo "standins: $target says: $said" >&2; exit 1 ;;
  esac
  user=$(docker inspect -f '{{.Config.User}} {{len .Config.Healthcheck.Test}}' "standin/$target")
  [ "$user" = "65532:65532 5" ] || { echo "standins: $target has user and health check: $user" >&2; exit 1; }
done
docker run --rm --read-only --network none standin/etcd etcd --version | head -1
docker images --format '{{.Repository}}\t{{.Size}}' | grep '^standin/' | sort | expand -t 24

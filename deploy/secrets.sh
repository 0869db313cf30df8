#!/usr/bin/env bash
# Copies the certificates and keys that containers read from a folder laid out as
# certs/dev is, into deploy/secrets, each owned by the user that reads it: 65532,
# our processes, and 999, PostgreSQL. Run again it rotates: it writes into the same
# files, because a container keeps the file that it was started with, and the
# processes take up what has changed by themselves.
#
#   deploy/secrets.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
from=${1:-certs/dev} to=deploy/secrets
mkdir -p "$to"

# as_root runs one command as root: at once, or in a container of an image that
# is needed anyway, since who may use Docker may do that.
as_root() {
  if [ "$(id -u)" = 0 ]; then sh -c "$1"; return; fi
  docker run --rm --user 0 --network none -v "$PWD/$from:/w/$from:ro" -v "$PWD/$to:/w/$to" -w /w \
    --entrypoint sh "${CLINSOURCE_IMAGES:-}postgres:15" -c "$1"
}

as_root "set -eu; umask 077
give() { # give FILE OWNER MODE
  [ -e $to/\$1 ] || : >$to/\$1
  cat $from/\$1 >$to/\$1; chown \$2:\$2 $to/\$1; chmod \$3 $to/\$1
}
chmod 755 $to
for f in ca.crt issuer.jwks.json; do give \$f 65532 444; done
give audit.key 65532 400 # Signs the audit log; audit.pub stays with those who verify.
for p in etcd vitals-rpc dicom-rpc epro-rpc subject-rpc project-api operator; do
  give \$p.crt 65532 444; give \$p.key 65532 400
done
give postgres.crt 999 444; give postgres.key 999 400
if [ ! -s $to/postgres.password ]; then # Nobody logs in with it: a superuser must have one.
  head -c 24 /dev/urandom | base64 >$to/postgres.password
fi
chown 999:999 $to/postgres.password; chmod 400 $to/postgres.password"

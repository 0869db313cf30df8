#!/bin/sh
# Makes deploy/etc/ (PostgreSQL) and deploy/etc-small/ (SQLite) anew out of etc/;
# etc.sed says what is different in containers. make generate runs it.
set -eu
cd "$(dirname "$0")/.."
mkdir -p deploy/etc deploy/etc-small
cp etc/policy.cedar deploy/etc/
cp etc/policy.cedar deploy/etc-small/
for f in etc/*.yaml; do
  process=$(basename "$f" .yaml)
  key=/run/secrets/$process
  url="postgres://clinsource_${process%-rpc}@postgres:5432/clinsource?sslmode=verify-full"
  url="$url\\&sslrootcert=/run/secrets/ca.crt\\&sslcert=$key.crt\\&sslkey=$key.key"
  {
    echo "# Generated out of $f by make generate: edit that, or deploy/etc.sed."
    sed -f deploy/etc.sed "$f"
  } >"deploy/etc-small/$process.yaml"
  sed "s#^DataFile: .*#Postgres:\\n  Url: $url#" "deploy/etc-small/$process.yaml" >"deploy/etc/$process.yaml"
done

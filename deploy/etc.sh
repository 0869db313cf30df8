#!/bin/sh
# Makes deploy/etc/ anew out of etc/ (see etc.sed).
set -eu
cd "$(dirname "$0")/.."
mkdir -p deploy/etc
for f in etc/*.yaml; do
  { echo "# Generated out of $f by make generate; edit that, or deploy/etc.sed."; sed -f deploy/etc.sed "$f"; } >"deploy/$f"
done

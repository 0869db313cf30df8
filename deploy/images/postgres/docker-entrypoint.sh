#!/bin/busybox sh
# The part of the official postgres image's start-up that the compose files use,
# under the same names: PGDATA, POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD_FILE,
# POSTGRES_INITDB_ARGS, and /docker-entrypoint-initdb.d/*.sql and *.sh once.
set -eu
[ "${1:-}" = postgres ] || exec "$@"

user=${POSTGRES_USER:-postgres}
ask() { psql -v ON_ERROR_STOP=1 --no-psqlrc -U "$user" -d "${1:-${POSTGRES_DB:-$user}}"; }

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  chmod 0700 "$PGDATA"
  # shellcheck disable=SC2086 # Several arguments.
  initdb -D "$PGDATA" -U "$user" --pwfile="$POSTGRES_PASSWORD_FILE" \
    --auth-local=trust --auth-host=scram-sha-256 ${POSTGRES_INITDB_ARGS:-}
  # No TCP until it is as it should be: a health check must not pass before.
  pg_ctl -D "$PGDATA" -w -o "-c listen_addresses='' -c unix_socket_directories=/tmp" start
  export PGHOST=/tmp
  if [ "${POSTGRES_DB:-$user}" != postgres ]; then
    echo "CREATE DATABASE \"${POSTGRES_DB:-$user}\"" | ask postgres
  fi
  for script in /docker-entrypoint-initdb.d/*; do
    case $script in
      *.sh) /bin/busybox sh "$script" ;;
      *.sql) ask <"$script" ;;
    esac
  done
  unset PGHOST
  pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec "$@"

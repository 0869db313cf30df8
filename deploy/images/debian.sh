#!/usr/bin/env bash
# Makes the root folder of an image out of Debian packages, with apt and no
# registry: fetches packages with all they depend on, unpacks them beside the
# image, and copies the named files with the libraries that they load. Installs
# nothing on this machine and needs no root.
#
#   deploy/images/debian.sh WORK ROOT "PACKAGE..." FILE...
set -euo pipefail
work=$1 root=$2 packages=$3
shift 3

fetch() {
  mkdir -p "$work/debs/partial"
  : >"$work/status" # As if nothing were installed yet: all dependencies come.
  # shellcheck disable=SC2086 # Several packages.
  apt-get -qq -y -o Dir::State::status="$work/status" -o Dir::Cache::archives="$work/debs" \
    -o APT::Install-Recommends=false -o Debug::NoLocking=1 -o APT::Sandbox::User= \
    --download-only install $packages >/dev/null
}

unpack() {
  rm -rf "$work/all" && mkdir "$work/all"
  local deb
  for deb in "$work"/debs/*.deb; do
    case $deb in # Large, and nothing here loads them.
      */libllvm* | */perl* | */libperl* | */fonts-* | */libjs-*) continue ;;
    esac
    dpkg -x "$deb" "$work/all"
  done
}

# needs lists the libraries that a file loads, as the unpacked loader finds them.
needs() {
  "${loaders[0]}" --library-path "$libraries" --list "$1" 2>/dev/null | grep -oE "$work/all/[^ ]+" || return 0
  printf '%s\n' "${loaders[@]}"
}

put() { # put FILE, as unpacked; symbolic links and what they point to.
  local name=${1#"$work/all"} target
  [ -e "$root$name" ] && return
  mkdir -p "$root$(dirname "$name")"
  cp -a "$work/all$name" "$root$name"
  if [ -L "$work/all$name" ]; then
    target=$(readlink "$work/all$name")
    case $target in # Absolute ones mean the image's root, not this machine's.
      /*) put "$work/all$target" ;;
      *) put "$work/all$(realpath -ms "$(dirname "$name")/$target")" ;;
    esac
  fi
}

fetch
unpack
work=$(readlink -f "$work")
mapfile -t loaders < <(find "$work/all/lib" "$work/all/lib64" -name 'ld-linux*' 2>/dev/null)
libraries=$(find "$work/all/lib" "$work/all/usr/lib" -maxdepth 1 -name '*-linux-gnu' | paste -sd:)
for file; do
  if [ -d "$work/all$file" ]; then
    mkdir -p "$root$file" && cp -a "$work/all$file/." "$root$file/"
    rm -rf "$root$file"/bitcode "$root$file"/llvmjit* # PostgreSQL's compiler for queries: off, and 100 MB.
  else
    put "$work/all$file"
  fi
  while read -r object; do
    for library in $(needs "$object"); do put "$library"; done
  done < <(find "$root$file" -type f \( -perm -100 -o -name '*.so*' \))
done
rm -rf "$work/all"

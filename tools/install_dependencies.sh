#!/usr/bin/env bash
# Installs what Ferry needs on Debian 12.
#
#   tools/install_dependencies.sh [--packages-only] [build] [test] [check]        (without a group: build test)
#
#   build   compiler, build tools, libraries, and the private Python of .deps/venv with Arrow in it
#   test    GoogleTest, PostgreSQL 15, openssl and npm, which brings the other PostgreSQL versions
#   check   clang, clang-tidy, clang-format and shellcheck
#
# Missing Debian packages are installed by root, or through sudo where it asks no password. Otherwise the one line
# to run is printed, which is this script with --packages-only, and the script fails. So root makes nothing in the
# repository. Where nothing is missing it changes nothing and is quick.
set -euo pipefail

readonly build_packages=(
  g++ cmake ninja-build mold ccache make pkg-config
  libpq-dev libsqlite3-dev libboost1.81-dev libboost-json1.81-dev libfmt-dev libspdlog-dev libcli11-dev libssl-dev
  libcurl4-openssl-dev libexpat1-dev libhowardhinnant-date-dev tzdata
  python3 python3-venv
)
readonly test_packages=(libgtest-dev libgmock-dev postgresql-15 postgresql-client-15 openssl)
readonly check_packages=(clang-19 clang-tidy-19 clang-format-19 libclang-rt-19-dev llvm-19 shellcheck)
readonly cluster_settings=/etc/postgresql-common/createcluster.conf

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly repository
readonly deps="$repository/.deps"
readonly venv="$deps/venv"
readonly requirements="$repository/tools/requirements.txt"

say() { printf '%s\n' "$*"; }
fail() {
  printf 'install_dependencies: %s\n' "$*" >&2
  exit 1
}

is_installed() { [[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]; }

can_be_root() { [[ $EUID -eq 0 ]] || sudo -n true 2>/dev/null; }
as_root() {
  if [[ $EUID -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

# Prints those of its arguments that are not installed, one a line.
missing_of() {
  local package
  for package in "$@"; do
    is_installed "$package" || say "$package"
  done
}

clusters() { if command -v pg_lsclusters >/dev/null; then pg_lsclusters -h | awk '{print $1, $2}' | sort; fi; }

# Debian's package makes and starts a cluster of its own unless it is told not to. The tests use throw-away
# servers only, so no cluster is left behind that was not there before.
install_packages() {
  local before after version name
  before=$(clusters)
  if [[ " $* " == *" postgresql-15 "* && ! -e $cluster_settings ]]; then
    as_root mkdir -p "$(dirname "$cluster_settings")"
    say 'create_main_cluster = false' | as_root tee "$cluster_settings" >/dev/null
  fi
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 apt-get install -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
  after=$(clusters)
  while read -r version name; do
    as_root pg_dropcluster --stop "$version" "$name"
  done < <(comm -13 <(printf '%s' "$before${before:+$'\n'}") <(printf '%s' "$after${after:+$'\n'}"))
}

# ensure_packages <groups> <packages>…
ensure_packages() {
  local groups=$1
  shift
  command -v dpkg-query >/dev/null || fail "this system has no dpkg; install what these Debian 12 packages hold: $*"
  local missing
  mapfile -t missing < <(missing_of "$@")
  [[ ${#missing[@]} -gt 0 ]] || return 0
  if ! can_be_root; then
    say "These Debian packages are missing: ${missing[*]}"
    say "Run this, then try again:"
    say "sudo $(printf '%q' "$repository/tools/install_dependencies.sh") --packages-only $groups"
    exit 1
  fi
  say "Installing ${missing[*]}"
  install_packages "${missing[@]}"
}

# Debian's own Python is preferred: it is the one whose version is known to go with the pinned packages.
find_python() {
  local candidate
  for candidate in /usr/bin/python3 "$(command -v python3 || true)"; do
    if [[ -x $candidate ]] && "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
      say "$candidate"
      return
    fi
  done
  fail "no python3 with the venv module was found; install python3-venv"
}

# The stamp holds what the folder was made from, so another Python or other pins make it anew.
ensure_venv() {
  local python stamp wanted
  python=$(find_python)
  stamp="$venv/made-from"
  wanted=$("$python" --version; sha256sum <"$requirements")
  if [[ -x $venv/bin/python && -e $stamp && "$(<"$stamp")" == "$wanted" ]]; then
    return
  fi
  say "Making $venv"
  rm -rf "$venv"
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
  say "$wanted" >"$stamp"
}

main() {
  local packages=() with_venv=no packages_only=no group
  if [[ ${1:-} == --packages-only ]]; then
    packages_only=yes
    shift
  fi
  [[ $# -gt 0 ]] || set -- build test
  for group in "$@"; do
    case $group in
      build)
        packages+=("${build_packages[@]}")
        with_venv=yes
        ;;
      test)
        packages+=("${test_packages[@]}")
        command -v npm >/dev/null || packages+=(npm)
        ;;
      check) packages+=("${check_packages[@]}") ;;
      *) fail "unknown group '$group'; the groups are build, test and check" ;;
    esac
  done

  umask 022
  if [[ $packages_only == yes ]]; then
    ensure_packages "$*" "${packages[@]}"
    return
  fi
  mkdir -p "$deps"
  exec 9>"$deps/lock"
  flock 9
  ensure_packages "$*" "${packages[@]}"
  [[ $with_venv == no ]] || ensure_venv
}

main "$@"

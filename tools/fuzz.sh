#!/usr/bin/env bash
# Runs every fuzz target of a folder for some minutes, beginning with its seeds.
#
#   tools/fuzz.sh <minutes> <how many at a time> <target>…
#
# What a target finds stays beside it in found_<name>, and the run fails. New inputs that reach new code are kept there
# too, so a later run goes on from them.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly repository minutes=$1 jobs=$2
shift 2

if [[ $# -gt 1 ]]; then
  printf '%s\0' "$@" | xargs -0 -n 1 -P "$jobs" "$0" "$minutes" 1
  exit
fi

program=$1
name=$(basename "$program" _fuzz)
found="$(dirname "$program")/found_$name"
mkdir -p "$found"
if ! "$program" -max_total_time=$((minutes * 60)) -max_len=4096 -timeout=10 -rss_limit_mb=2048 \
  -artifact_prefix="$found/" "$found" "$repository/tests/fuzz/corpus/$name" >"$found.log" 2>&1; then
  tail -n 40 "$found.log"
  printf '%s: FAILED, see %s\n' "$name" "$found.log"
  exit 1
fi
printf '%s: nothing found in %s\n' "$name" "$(grep -o '[0-9]* runs in [0-9]* second(s)' "$found.log")"

#!/bin/bash
# The helper as it travels: what follows the last line is the helper itself, gzip in base64. It is
# unpacked in its place, and run with the same words, so that a text which installs knows no packing.
set -euo pipefail

# shellcheck disable=SC2329 # called by the trap
failed() {
  rm -f "$0" "$0.unpacked"
  rmdir "${0%/*}" "${0%/*/*}" 2>/dev/null || true # unless there is a tunnel already
  echo "reverse-tunnel: the helper could not be unpacked in ${0%/*}: make room there, and run again;" \
    "nothing was changed" >&2
}
trap failed EXIT
sed '1,/^exec /d' "$0" | base64 -d | gzip -d >"$0.unpacked"
mv -fT "$0.unpacked" "$0"
trap - EXIT
exec bash "$0" "$@"

#!/bin/sh
# Puts the helper, which follows as gzip in base64, beside the one that is installed: the command that
# installs it comes next (host/lib/install.sh). Run as root; its word is the tunnel's folder.

set -eu
umask 077
folder=$1

helper() {
  base64 -d <<'END-OF-HELPER' | gzip -d
@HELPER@
END-OF-HELPER
}

deliver() { mkdir -p "$folder" && helper >"$folder/.incoming.new" && mv -fT "$folder/.incoming.new" "$folder/incoming"; }

if deliver 2>/dev/null; then exit; fi
rm -f "$folder/.incoming.new" 2>/dev/null || true
rmdir "$folder" "${folder%/*}" 2>/dev/null || true # unless there is a tunnel already
echo "reverse-tunnel: the helper could not be written to $folder: make room there, and run again;" \
  "nothing was changed" >&2
exit 1

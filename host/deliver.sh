#!/bin/sh
# Puts the helper, which stands here as gzip in base64, beside the one that is installed: the command that
# installs it comes next (install.sh). Run as root; its word is the tunnel's folder.

set -eu
umask 077
folder=$1

helper() {
  base64 -d <<'END-OF-HELPER' | gzip -d
@HELPER@
END-OF-HELPER
}

if mkdir -p "$folder" && helper >"$folder/.delivered.new" && mv -fT "$folder/.delivered.new" "$folder/delivered"; then
  exit
fi
rm -f "$folder/.delivered.new" || true
rmdir "$folder" "${folder%/*}" 2>/dev/null || true # unless there is a tunnel already
echo "reverse-tunnel: the helper could not be written to $folder: make room there, or mend what is said above," \
  "and run again; nothing was changed" >&2
exit 1

#!/bin/bash
# A Debian forky tree with FFmpeg 9 (the whip muxer). About a minute; no-op where it stands.
#   chroot.sh          build it
#   chroot.sh unmount  undo every bind mount below it: ALWAYS before deleting it
set -euo pipefail
. "$(dirname "$0")/env.sh"
if [ "${1:-}" = unmount ]; then
  awk -v r="$CLIENTS/" 'index($2, r) == 1 {print $2}' /proc/mounts | sort -r | while read -r m; do as_root umount "$m"; done
  exit
fi
[ -e "$ROOT/.ready" ] && exit
if [ -e "$ROOT" ]; then # an earlier build that did not finish
  "$0" unmount
  as_root rm -rf --one-file-system "$ROOT"
fi
# The package mirror is whatever this machine's own apt uses.
MIRROR=$(apt-get indextargets --format '$(REPO_URI)' 'Component: main' | grep -v security | sed -n 1p)
as_root mmdebstrap --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Check-Date "false"' \
  --aptopt='APT::Install-Recommends "false"' --include=ca-certificates,ffmpeg \
  forky "$ROOT" "deb $MIRROR forky main"
as_root touch "$ROOT/.ready"

# Sourced by the scripts here. ROOT is a Debian forky tree with the clients that Debian stable lacks (FFmpeg 9, GStreamer 1.28);
# it lives in the user's cache, 2–4 GB, and nothing of it is ever committed.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CLIENTS=${SHIBUKI_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/shibuki-clients}
ROOT=$CLIENTS/forky
mkdir -p "$CLIENTS"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

mounts() { # proc and dev inside the tree, for programs that run by chroot; idempotent
  local m
  for m in proc dev dev/shm; do mountpoint -q "$ROOT/$m" || as_root mount --bind "/$m" "$ROOT/$m"; done
}

#!/bin/bash
# Runs the tree's FFmpeg in place: by the tree's own loader and libraries, so neither root nor chroot is needed and the
# process is this very one (a signal reaches FFmpeg itself).
set -eu
. "$(dirname "$0")/env.sh"
LIB=$ROOT/usr/lib/x86_64-linux-gnu
exec "$ROOT/usr/lib64/ld-linux-x86-64.so.2" --library-path "$LIB:$LIB/pulseaudio:$LIB/blas:$LIB/lapack:$LIB/caca:$LIB/libproxy" \
  "$ROOT/usr/bin/ffmpeg" "$@"

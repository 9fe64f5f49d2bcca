#!/bin/bash
# GStreamer 1.28 in the tree, and the WHIP/WHEP elements of its Rust plugins (crates.io; Debian has no package of them),
# built against it with this machine's Rust. About 10 minutes, therefore not a part of every check; no-op where they stand.
set -euo pipefail
. "$(dirname "$0")/env.sh"
"$HERE/chroot.sh"
mounts
PLUGINS=$ROOT/usr/lib/x86_64-linux-gnu/gstreamer-1.0
[ -e "$PLUGINS/libgstwebrtchttp.so" ] && [ -e "$PLUGINS/libgstrswebrtc.so" ] && [ -e "$PLUGINS/libgstrsrtp.so" ] && exit
for d in .cargo .rustup; do
  as_root mkdir -p "$ROOT/root/$d"
  mountpoint -q "$ROOT/root/$d" || as_root mount --bind "$HOME/$d" "$ROOT/root/$d"
done
as_root cp /etc/resolv.conf /etc/hosts "$ROOT/etc/"
as_root cp -r /usr/local/share/ca-certificates/. "$ROOT/usr/local/share/ca-certificates/" 2>/dev/null || true
as_root chroot "$ROOT" update-ca-certificates >/dev/null 2>&1 || true
as_root chroot "$ROOT" apt-get update -qq
as_root chroot "$ROOT" apt-get install -y --no-install-recommends \
  gstreamer1.0-tools gstreamer1.0-plugins-{base,good,bad,ugly} gstreamer1.0-libav gstreamer1.0-nice \
  libgstreamer-plugins-{base,bad}1.0-dev libssl-dev gcc g++ pkgconf cmake libclang-dev >/dev/null
as_root mkdir -p "$ROOT/build/pin/src"
as_root tee "$ROOT/build/pin/Cargo.toml" >/dev/null <<'TOML'
[package]
name = "pin"
version = "0.1.0"
edition = "2021"
rust-version = "1.95"
[dependencies]
gst-plugin-webrtc = { version = "=0.15.4", default-features = false, features = ["whip", "whep", "web_server", "rustls-ring"] }
gst-plugin-webrtchttp = "=0.15.4"
gst-plugin-rtp = "=0.15.4"
TOML
echo 'fn main() {}' | as_root tee "$ROOT/build/pin/src/main.rs" >/dev/null
as_root nice -n 5 chroot "$ROOT" bash -ec '
  export PATH=/root/.cargo/bin:$PATH HOME=/root CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS=fallback
  cd /build/pin && cargo update && cargo fetch
  export CARGO_TARGET_DIR=/build/target CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=false
  export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
  for c in gst-plugin-webrtchttp gst-plugin-webrtc gst-plugin-rtp; do
    rm -rf /build/$c
    cp -r /root/.cargo/registry/src/*/$c-0.15.4 /build/$c
    cp /build/pin/Cargo.lock /build/$c/
    cd /build/$c
    echo "[workspace]" >> Cargo.toml
    F=""
    [ $c = gst-plugin-webrtc ] && F="--no-default-features --features whip,whep,web_server,rustls-ring"
    cargo build --release --lib $F
  done
  cp /build/target/release/libgst*.so /usr/lib/x86_64-linux-gnu/gstreamer-1.0/
  rm -rf /build/target'

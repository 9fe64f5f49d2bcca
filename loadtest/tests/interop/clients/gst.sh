#!/bin/bash
# gst.sh {whipsink|whipclientsink|whepsrc|whepclientsrc} URL SECONDS    (after gst-plugins.sh)
# The server must advertise a non-loopback address: these elements do not connect to 127.0.0.1 alone.
# Never use gst-launch -e here: it hangs.
set -eu
. "$(dirname "$0")/env.sh"
mounts
ELEMENT=$1 URL=$2 SECONDS_=${3:-10}
VIDEO="videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1"
AUDIO="audiotestsrc is-live=true wave=ticks"
H264=application/x-rtp,media=video,encoding-name=H264,payload=97,clock-rate=90000
OPUS=application/x-rtp,media=audio,encoding-name=OPUS,payload=96,clock-rate=48000
# `progressreport` prints a line each second in which buffers arrive: what a test reads.
PROGRESS="progressreport update-freq=1 silent=false do-query=false format=buffers"
launch() {
  as_root chroot "$ROOT" env GST_DEBUG="${GST_DEBUG:-2}" timeout -k 3 -s INT "$SECONDS_" gst-launch-1.0 "$@"
}
case $ELEMENT in
whipsink)
  launch whipsink name=w whip-endpoint="$URL" \
    $VIDEO ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=60 bitrate=800 \
    ! video/x-h264,profile=constrained-baseline ! h264parse \
    ! rtph264pay config-interval=-1 aggregate-mode=zero-latency ! $H264 ! w.sink_0 \
    $AUDIO ! opusenc ! rtpopuspay ! "$OPUS,encoding-params=(string)2" ! w.sink_1 ;;
whipclientsink)
  launch whipclientsink name=w signaller::whip-endpoint="$URL" video-caps="${VIDEO_CAPS:-video/x-h264}" $VIDEO ! w. $AUDIO ! w. ;;
whepsrc)
  launch whepsrc name=s whep-endpoint="$URL" video-caps="${VIDEO_CAPS:-$H264}" audio-caps="$OPUS" \
    s. ! application/x-rtp,media=video ! $PROGRESS ! fakesink s. ! application/x-rtp,media=audio ! fakesink ;;
whepclientsrc)
  launch whepclientsrc name=s signaller::whep-endpoint="$URL" s.video_0 ! $PROGRESS ! fakesink s.audio_0 ! queue ! fakesink ;;
*)
  echo "unknown element $ELEMENT" >&2
  exit 2 ;;
esac

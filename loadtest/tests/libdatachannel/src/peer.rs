//! The few calls of libdatachannel's C interface that a publisher needs, behind a safe type.
#![allow(unsafe_code, reason = "a C library")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;

use datachannel_sys as sys;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Connecting,
    Connected,
    Disconnected,
    Failed,
    Closed,
}

type OnState = Box<dyn Fn(State) + Send + Sync>;

pub struct Peer {
    connection: c_int,
    video: c_int,
    audio: c_int,
    /// Called from the library's threads, which hold its address: freed by nobody, the process ends with the peer.
    _on_state: &'static OnState,
}

const VIDEO_SSRC: u32 = 2_985_326_069;
const AUDIO_SSRC: u32 = 2_985_326_068;

impl Peer {
    /// A connection with audio and video to send, in OBS's order and with OBS's codecs.
    pub fn new(on_state: impl Fn(State) + Send + Sync + 'static) -> io::Result<Self> {
        let on_state: OnState = Box::new(on_state);
        let on_state: &'static OnState = Box::leak(Box::new(on_state));
        // SAFETY: all zero is the C initialiser `{0}`, which the library documents as its defaults.
        let mut configuration: sys::rtcConfiguration = unsafe { std::mem::zeroed() };
        configuration.disableAutoNegotiation = true;
        // SAFETY: the structures and strings outlive the calls, which copy them; `on_state` lives for ever.
        unsafe {
            let connection = check(sys::rtcCreatePeerConnection(&configuration))?;
            sys::rtcSetUserPointer(connection, (&raw const *on_state).cast_mut().cast());
            check(sys::rtcSetStateChangeCallback(connection, Some(state_changed)))?;
            let audio = add_track(
                connection,
                c"0",
                sys::rtcCodec_RTC_CODEC_OPUS,
                111,
                AUDIO_SSRC,
                c"minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1",
            )?;
            let init = packetizer(AUDIO_SSRC, 111, 48_000);
            check(sys::rtcSetOpusPacketizer(audio, &init))?;
            check(sys::rtcChainRtcpSrReporter(audio))?;
            check(sys::rtcChainRtcpNackResponder(
                audio,
                sys::RTC_DEFAULT_MAX_STORED_PACKET_COUNT,
            ))?;
            let video = add_track(
                connection,
                c"1",
                sys::rtcCodec_RTC_CODEC_H264,
                96,
                VIDEO_SSRC,
                c"profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1",
            )?;
            let init = packetizer(VIDEO_SSRC, 96, 90_000);
            check(sys::rtcSetH264Packetizer(video, &init))?;
            check(sys::rtcChainRtcpSrReporter(video))?;
            // OBS keeps 4000 packets of video.
            check(sys::rtcChainRtcpNackResponder(video, 4000))?;
            Ok(Self {
                connection,
                video,
                audio,
                _on_state: on_state,
            })
        }
    }

    /// The offer, without candidates: OBS sends it before it has any, and never trickles.
    pub fn offer(&mut self) -> io::Result<String> {
        let mut buffer = vec![0_u8; 16 * 1024];
        // SAFETY: the length given is the buffer's; the library ends what it writes with a zero.
        unsafe {
            check(sys::rtcSetLocalDescription(self.connection, c"offer".as_ptr()))?;
            check(sys::rtcGetLocalDescription(
                self.connection,
                buffer.as_mut_ptr().cast::<c_char>(),
                buffer.len() as c_int,
            ))?;
        }
        let offer = CStr::from_bytes_until_nul(&buffer)
            .map_err(io::Error::other)?
            .to_str()
            .map_err(io::Error::other)?;
        let gathered =
            |line: &&str| !line.starts_with("a=candidate:") && !line.starts_with("a=end-of-candidates");
        Ok(offer
            .lines()
            .filter(gathered)
            .map(|line| format!("{line}\r\n"))
            .collect())
    }

    pub fn accept(&mut self, answer: &str) -> io::Result<()> {
        let answer = CString::new(answer)?;
        // SAFETY: both strings outlive the call.
        check(unsafe { sys::rtcSetRemoteDescription(self.connection, answer.as_ptr(), c"answer".as_ptr()) })?;
        Ok(())
    }

    /// `timestamp` in units of 1/90,000 s.
    pub fn send_video(&mut self, frame: &[u8], timestamp: u32) {
        send(self.video, frame, timestamp);
    }

    /// `timestamp` in units of 1/48,000 s.
    pub fn send_audio(&mut self, packet: &[u8], timestamp: u32) {
        send(self.audio, packet, timestamp);
    }
}

/// What cannot be sent (the connection just ended) is lost; the state's change tells.
fn send(track: c_int, data: &[u8], timestamp: u32) {
    // SAFETY: the library copies `data`.
    unsafe {
        sys::rtcSetTrackRtpTimestamp(track, timestamp);
        sys::rtcSendMessage(track, data.as_ptr().cast::<c_char>(), data.len() as c_int);
    }
}

unsafe extern "C" fn state_changed(_connection: c_int, state: sys::rtcState, on_state: *mut c_void) {
    // SAFETY: the pointer is the one given in `Peer::new`.
    let on_state = unsafe { &*on_state.cast_const().cast::<OnState>() };
    on_state(match state {
        sys::rtcState_RTC_CONNECTED => State::Connected,
        sys::rtcState_RTC_DISCONNECTED => State::Disconnected,
        sys::rtcState_RTC_FAILED => State::Failed,
        sys::rtcState_RTC_CLOSED => State::Closed,
        _ => State::Connecting,
    });
}

unsafe fn add_track(
    connection: c_int,
    mid: &CStr,
    codec: sys::rtcCodec,
    payload_type: c_int,
    ssrc: u32,
    profile: &CStr,
) -> io::Result<c_int> {
    let init = sys::rtcTrackInit {
        direction: sys::rtcDirection_RTC_DIRECTION_SENDONLY,
        codec,
        payloadType: payload_type,
        ssrc,
        mid: mid.as_ptr(),
        name: c"nWPIxWWINkdSMnv9".as_ptr(),
        msid: c"uems2WdpMW3XhvFG".as_ptr(),
        trackId: mid.as_ptr(),
        profile: profile.as_ptr(),
    };
    // SAFETY: the strings outlive the call, which copies them.
    check(unsafe { sys::rtcAddTrackEx(connection, &init) })
}

fn packetizer(ssrc: u32, payload_type: u8, clock_rate: u32) -> sys::rtcPacketizerInit {
    sys::rtcPacketizerInit {
        ssrc,
        cname: c"nWPIxWWINkdSMnv9".as_ptr(),
        payloadType: payload_type,
        clockRate: clock_rate,
        sequenceNumber: 0,
        timestamp: 0,
        maxFragmentSize: 0,
        nalSeparator: sys::rtcNalUnitSeparator_RTC_NAL_SEPARATOR_START_SEQUENCE,
        obuPacketization: 0,
        playoutDelayId: 0,
        playoutDelayMin: 0,
        playoutDelayMax: 0,
    }
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::other(format!("libdatachannel: {result}")))
    } else {
        Ok(result)
    }
}

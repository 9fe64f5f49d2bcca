//! What a peer was sent and we did not take, by reason.

/// Counts of datagrams, packets or records dropped; each only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCounters {
    /// Datagrams that are none of STUN, DTLS, RTP (RFC 7983 §7), or are cut short.
    pub malformed: u64,
    /// STUN messages without a valid MESSAGE-INTEGRITY or with a foreign USERNAME.
    pub stun_unauthenticated: u64,
    /// STUN messages that are not Binding requests: a lite agent has no use for them.
    pub stun_ignored: u64,
    /// Datagrams other than STUN from an address no authenticated check came from.
    pub unvalidated_path: u64,
    /// DTLS over the handshake's budget of datagrams, bytes or records.
    pub dtls_over_budget: u64,
    /// DTLS records whose headers contradict themselves.
    pub dtls_malformed: u64,
    /// DTLS records with application data: there are no data channels.
    pub dtls_application_data: u64,
    /// SRTP and SRTCP before the keys are known.
    pub media_before_keys: u64,
    /// SRTP and SRTCP that failed authentication.
    pub media_unauthenticated: u64,
    /// SRTP and SRTCP seen before, or too old to tell.
    pub media_replayed: u64,
    /// Authentic packets of an SSRC beyond the session's limit.
    pub ssrc_over_limit: u64,
}

//! Datagrams waiting to be sent, laid out so that runs of equal size to one destination leave in one GSO send.

use std::net::SocketAddr;

/// The most bytes one send may carry (an IPv4 datagram's limit, less its headers).
const MAX_RUN_BYTES: usize = 60_000;

#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    runs: Vec<Run>,
}

/// Datagrams of `segment` bytes each (the last may be shorter) to one destination.
#[derive(Clone, Copy, Debug)]
struct Run {
    to: SocketAddr,
    start: usize,
    end: usize,
    segment: usize,
    open: bool,
}

/// One send, ready for the socket.
#[derive(Clone, Copy, Debug)]
pub struct Send<'a> {
    pub to: SocketAddr,
    pub contents: &'a [u8],
    pub segment: usize,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Appends what `write` adds to the buffer as one datagram; nothing when it reports failure.
    pub fn push_with<E>(
        &mut self,
        to: SocketAddr,
        write: impl FnOnce(&mut Vec<u8>, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        if let Err(error) = write(&mut self.bytes, start) {
            self.bytes.truncate(start);
            return Err(error);
        }
        let end = self.bytes.len();
        let len = end - start;
        if let Some(run) = self.runs.last_mut()
            && run.open
            && run.to == to
            && len <= run.segment
            && end - run.start <= MAX_RUN_BYTES
        {
            run.end = end;
            run.open = len == run.segment;
        } else if len > 0 {
            self.runs.push(Run {
                to,
                start,
                end,
                segment: len,
                open: true,
            });
        }
        Ok(())
    }

    pub fn push(&mut self, to: SocketAddr, datagram: &[u8]) {
        let _ = self.push_with(to, |bytes, _| {
            bytes.extend_from_slice(datagram);
            Ok::<(), std::convert::Infallible>(())
        });
    }

    /// Everything waiting, in order, as sends of at most `max_segments` datagrams.
    pub fn sends(&self, max_segments: usize) -> impl Iterator<Item = Send<'_>> {
        self.runs.iter().flat_map(move |run| {
            let bytes = self.bytes.get(run.start..run.end).unwrap_or_default();
            bytes
                .chunks(run.segment * max_segments.max(1))
                .map(|contents| Send {
                    to: run.to,
                    contents,
                    segment: run.segment,
                })
        })
    }

    /// Forgets what was sent; the buffers stay for the next time.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.runs.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_datagrams_to_one_destination_form_one_send() {
        let (a, b): (SocketAddr, SocketAddr) = (
            "192.0.2.1:1".parse().expect("an address"),
            "192.0.2.1:2".parse().expect("an address"),
        );
        let mut outbox = Outbox::default();
        for (to, len) in [(a, 100), (a, 100), (a, 40), (a, 40), (b, 40)] {
            outbox.push(to, &vec![1; len]);
        }
        let sends: Vec<_> = outbox
            .sends(64)
            .map(|send| (send.to, send.contents.len(), send.segment))
            .collect();
        assert_eq!(sends, [(a, 240, 100), (a, 40, 40), (b, 40, 40)]);
        let split: Vec<_> = outbox.sends(1).map(|send| send.contents.len()).collect();
        assert_eq!(split, [100, 100, 40, 40, 40]);
    }
}

use super::*;

#[test]
fn equal_lengths_to_one_path_leave_together_with_a_shorter_last_one() {
    let mut outbox = Batcher::new(Record::default());
    for len in [100, 100, 100, 40] {
        put(&mut outbox, 1, len);
    }
    outbox.send();
    assert_eq!(outbox.wire.sends, [(1, vec![100, 100, 100, 40])]);
    assert_eq!(
        (
            outbox.counts.datagrams_out,
            outbox.counts.bytes_out,
            outbox.counts.send_calls
        ),
        (4, 340, 1)
    );
}

#[test]
fn a_shorter_one_ends_the_run_and_a_longer_one_begins_another() {
    let mut outbox = Batcher::new(Record::default());
    for len in [100, 40, 40, 100, 101] {
        put(&mut outbox, 1, len);
    }
    outbox.send();
    assert_eq!(
        outbox.wire.sends,
        [(1, vec![100, 40]), (1, vec![40]), (1, vec![100]), (1, vec![101])]
    );
}

#[test]
fn another_path_or_source_address_begins_another_run() {
    let mut outbox = Batcher::new(Record::default());
    put(&mut outbox, 1, 50);
    put(&mut outbox, 2, 50);
    put(&mut outbox, 1, 50);
    let elsewhere = Path {
        local: Some("127.0.0.2".parse().unwrap()),
        ..path(1)
    };
    outbox.datagram(&elsewhere, 50, |room| Some(room.len()));
    outbox.send();
    assert_eq!(
        outbox.wire.sends,
        [(1, vec![50]), (2, vec![50]), (1, vec![50]), (1, vec![50])]
    );
}

#[test]
fn a_run_stays_within_segments_and_bytes() {
    let mut outbox = Batcher::new(Record::default());
    (0..130).for_each(|_| put(&mut outbox, 1, 200));
    (0..60).for_each(|_| put(&mut outbox, 2, 1200));
    outbox.send();
    let shapes: Vec<usize> = outbox
        .wire
        .sends
        .iter()
        .map(|(_, lengths)| lengths.len())
        .collect();
    assert_eq!(shapes, [64, 64, 2, 54, 6], "64 segments; 54 × 1200 ≤ 65,000");
}

#[test]
fn what_fill_declines_takes_no_room() {
    let mut outbox = Batcher::new(Record::default());
    put(&mut outbox, 1, 100);
    outbox.datagram(&path(1), 1500, |_| None);
    outbox.datagram(&path(1), 1500, |_| Some(0));
    put(&mut outbox, 1, 100);
    outbox.send();
    assert_eq!(outbox.wire.sends, [(1, vec![100, 100])]);
}

#[test]
fn bytes_arrive_as_they_were_written() {
    let mut outbox = Batcher::new(Record::default());
    for i in 0..1000_u32 {
        outbox.datagram(&path(1), 1200, |room| {
            room[..4].copy_from_slice(&i.to_be_bytes());
            Some(1000)
        });
    }
    outbox.send();
    let numbers = outbox.wire.firsts.iter().map(|b| u32::from_be_bytes(*b));
    assert!(
        numbers.eq(0..1000),
        "in order, none lost where the arena was sent because it was full"
    );
    assert!(outbox.wire.sends.len() > 1);
}

#[test]
fn a_full_arena_is_sent_before_the_turn_ends() {
    let mut outbox = Batcher::new(Record::default());
    (0..ARENA_BYTES / 1000 + 1).for_each(|_| put(&mut outbox, 1, 1000));
    assert!(!outbox.wire.sends.is_empty());
}

#[test]
fn a_full_socket_delays_and_keeps_the_order() {
    let mut outbox = Batcher::new(Record {
        room: 2,
        ..Record::default()
    });
    (1..=4).for_each(|port| put(&mut outbox, port, 100));
    outbox.send();
    assert!(outbox.is_blocked());
    put(&mut outbox, 5, 100);
    outbox.send();
    assert_eq!(
        outbox.wire.ports(),
        [1, 2],
        "nothing is tried before the socket is writable"
    );

    outbox.wire.room = 100;
    outbox.unblock();
    outbox.send();
    assert_eq!(outbox.wire.ports(), [1, 2, 3, 4, 5]);
    assert_eq!(outbox.counts.drops(Drop::Backlog), 0);
}

#[test]
fn a_socket_that_stays_full_costs_bounded_memory_and_the_newest_datagrams() {
    let mut outbox = Batcher::new(Record {
        room: 0,
        ..Record::default()
    });
    let bound = BACKLOG_ARENAS * (ARENA_BYTES / 1000);
    for i in 0..bound + 500 {
        put(&mut outbox, 1 + (i % 2) as u16, 1000);
    }
    outbox.send();
    assert_eq!(outbox.arenas.len(), BACKLOG_ARENAS);
    assert_eq!(outbox.counts.drops(Drop::Backlog), 500);

    outbox.wire.room = usize::MAX;
    outbox.unblock();
    outbox.send();
    assert_eq!(outbox.counts.datagrams_out, bound as u64);
    put(&mut outbox, 9, 10);
    outbox.send();
    assert_eq!(outbox.wire.ports().last(), Some(&9), "and goes on as before");
}

#[test]
fn without_segmentation_each_goes_alone() {
    let mut outbox = Batcher::new(Record {
        segmentation_refused: true,
        ..Record::default()
    });
    (0..3).for_each(|_| put(&mut outbox, 1, 100));
    put(&mut outbox, 1, 60);
    outbox.send();
    assert_eq!(
        outbox.wire.sends,
        [(1, vec![100]), (1, vec![100]), (1, vec![100]), (1, vec![60])]
    );
    assert_eq!(outbox.counts.datagrams_out, 4);
}

#[test]
fn a_socket_that_gets_full_within_a_run_repeats_nothing() {
    let mut outbox = Batcher::new(Record {
        segmentation_refused: true,
        room: 2,
        ..Record::default()
    });
    for i in 0..5_u32 {
        outbox.datagram(&path(1), 100, |room| {
            room[..4].copy_from_slice(&i.to_be_bytes());
            Some(100)
        });
    }
    outbox.send();
    assert!(outbox.is_blocked());
    outbox.wire.room = 100;
    outbox.unblock();
    outbox.send();
    assert!(outbox.wire.firsts.iter().map(|b| u32::from_be_bytes(*b)).eq(0..5));
}

#[test]
fn an_error_on_one_path_is_counted_by_kind_and_the_rest_is_sent() {
    let mut outbox = Batcher::new(Record {
        bad_port: Some((2, SendError::Unreachable)),
        ..Record::default()
    });
    for port in [1, 2, 2, 3] {
        put(&mut outbox, port, 100);
    }
    outbox.send();
    assert_eq!(outbox.wire.ports(), [1, 3]);
    assert_eq!(outbox.counts.drops(Drop::Unreachable), 2);

    outbox.wire.bad_port = Some((2, SendError::Segmentation));
    (0..4).for_each(|_| put(&mut outbox, 2, 100));
    let calls = outbox.counts.send_calls;
    outbox.send();
    assert_eq!(outbox.counts.drops(Drop::Invalid), 4);
    assert_eq!(
        outbox.counts.send_calls - calls,
        2,
        "the run, then one datagram: the rest is not tried"
    );
}

fn path(port: u16) -> Path {
    Path {
        remote: ([192, 0, 2, 1], port).into(),
        local: None,
    }
}

fn put(outbox: &mut Batcher<Record>, port: u16, len: usize) {
    outbox.datagram(&path(port), len, |room| Some(room.len()));
}

/// What was sent, by remote port and datagram lengths.
struct Record {
    sends: Vec<(u16, Vec<usize>)>,
    /// The first four bytes of each datagram.
    firsts: Vec<[u8; 4]>,
    /// Sends until the socket is full.
    room: usize,
    segmentation_refused: bool,
    bad_port: Option<(u16, SendError)>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            sends: vec![],
            firsts: vec![],
            room: usize::MAX,
            segmentation_refused: false,
            bad_port: None,
        }
    }
}

impl Record {
    fn ports(&self) -> Vec<u16> {
        self.sends.iter().map(|(port, _)| *port).collect()
    }
}

impl Wire for Record {
    fn max_segments(&self) -> usize {
        64
    }

    fn send(&mut self, path: &Path, contents: &[u8], segment: Option<usize>) -> Result<(), SendError> {
        let port = path.remote.port();
        match self.bad_port {
            Some((bad, SendError::Segmentation)) if bad == port && segment.is_none() => {
                return Err(SendError::Invalid);
            }
            Some((bad, error)) if bad == port => return Err(error),
            _ => {}
        }
        if self.segmentation_refused && segment.is_some() {
            return Err(SendError::Segmentation);
        }
        if self.room == 0 {
            return Err(SendError::Blocked);
        }
        self.room -= 1;
        let datagrams: Vec<&[u8]> = contents.chunks(segment.unwrap_or(contents.len())).collect();
        self.firsts
            .extend(datagrams.iter().filter_map(|d| d.first_chunk::<4>()));
        self.sends
            .push((port, datagrams.iter().map(|d| d.len()).collect()));
        Ok(())
    }
}

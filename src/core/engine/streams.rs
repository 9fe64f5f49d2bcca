//! Hubs and sources: what joins publishers and viewers at this worker, and what crosses to the others. A stream
//! crosses once per worker that has viewers of it, never once per viewer.

use std::time::Instant;

use super::session::Role;
use super::{Engine, RUN_UP_TICK, TICK};
use crate::core::ids::{SeqNo, SessionId, StreamName, WorkerId};
use crate::core::ingest::PublisherOutput;
use crate::core::media::LayerChoice;
use crate::core::route::{Hub, MediaPacket, Message, Notice, RoutedPacket, Source};

/// Packets kept of a publisher until the control plane presents it, which takes a millisecond: a large keyframe.
const MAX_EARLY: usize = 500;

impl Engine {
    pub(super) fn hub_for(&mut self, stream: &StreamName) -> usize {
        if let Some(key) = self.by_stream.get(stream) {
            return *key;
        }
        let mut hub = Hub::new(stream.clone(), self.config.buffer);
        hub.source = self.sources.get(stream).copied();
        let key = self.hubs.insert(hub);
        self.by_stream.insert(stream.clone(), key);
        key
    }

    pub(super) fn viewer_joined(&mut self, now: Instant, viewer: usize, hub: usize) {
        if let Some(hub) = self.hubs.get_mut(hub) {
            hub.viewers.push(viewer);
        }
        self.subscribe(hub);
        if self.hubs.get(hub).is_some_and(|hub| hub.source.is_some()) {
            self.wake_by(now + TICK);
            self.begin_reports(now, viewer);
        }
        self.start_viewer(now, viewer);
    }

    pub(super) fn viewer_left(&mut self, viewer: usize, hub: usize) {
        if let Some(hub) = self.hubs.get_mut(hub) {
            hub.viewers.retain(|key| *key != viewer);
        }
        self.drop_hub_if_idle(hub);
    }

    /// Without viewers there is no need for another worker's packets, and without a source none for the hub.
    fn drop_hub_if_idle(&mut self, key: usize) {
        let Some(hub) = self.hubs.get(key) else { return };
        let local = hub.source.is_some_and(|source| source.worker == self.id);
        if !hub.viewers.is_empty() || local {
            return;
        }
        let hub = self.hubs.remove(key);
        self.by_stream.remove(&hub.stream);
        self.outbound.remove(&key);
        self.fresh.retain(|fresh| *fresh != key);
        if let (true, Some(source)) = (hub.subscribed, hub.source) {
            let message = Message::Unsubscribe {
                stream: hub.stream,
                worker: self.id,
            };
            self.send_to(source.worker, message);
        }
    }

    /// Asks the publisher's worker for the stream, where that is another one.
    fn subscribe(&mut self, key: usize) {
        let Some(hub) = self.hubs.get_mut(key) else { return };
        let Some(source) = hub.source else { return };
        if source.worker == self.id || hub.subscribed {
            return;
        }
        hub.subscribed = true;
        let stream = hub.stream.clone();
        let message = Message::Subscribe {
            stream,
            publisher: source.publisher,
            worker: self.id,
        };
        self.send_to(source.worker, message);
    }

    fn start_viewer(&mut self, now: Instant, key: usize) {
        let Some(viewer) = self.viewers.get_mut(key) else {
            return;
        };
        let Some(hub) = self.hubs.get_mut(viewer.hub) else {
            return;
        };
        let ask = viewer
            .try_start(hub, self.config.run_up, now)
            .then_some((viewer.hub, viewer.wanted_layer()));
        self.list_paced(now, key);
        if let Some((hub, layer)) = ask {
            self.ask_for_keyframe(now, hub, layer);
        }
    }

    /// Notes a viewer that sends over time.
    fn list_paced(&mut self, now: Instant, key: usize) {
        if let Some(viewer) = self.viewers.get_mut(key)
            && viewer.is_paced()
            && !viewer.listed
        {
            viewer.listed = true;
            self.running_up.push(key);
            self.wake_by(now + RUN_UP_TICK);
        }
    }

    /// Has the publisher asked, wherever it is, for one layer or for all. How often it really is asked, its own
    /// worker decides.
    pub(super) fn ask_for_keyframe(&mut self, now: Instant, key: usize, layer: Option<u8>) {
        let Some(hub) = self.hubs.get_mut(key) else { return };
        let Some(source) = hub.source else { return };
        if !hub.may_ask(layer, now) {
            return;
        }
        if source.worker == self.id {
            let session = self.by_id.get(&source.publisher).copied();
            if let Some(session) = session
                && let Some(publisher) = self.publisher_mut(session)
            {
                publisher.request_keyframe(layer);
                self.transmitting.push(session);
            }
        } else {
            let message = Message::RequestKeyframe {
                stream: hub.stream.clone(),
                publisher: source.publisher,
                layer,
            };
            self.send_to(source.worker, message);
        }
    }

    /// A viewer wants another layer: at once, where it can be had.
    pub(super) fn choose_layer(&mut self, now: Instant, session: SessionId, choice: LayerChoice) {
        let Some(key) = self.by_id.get(&session).copied() else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(key)
            && let Role::Viewer(media) = &mut session.role
        {
            media.layers = choice.clone();
        }
        if let Some(viewer) = self.viewers.get_mut(key) {
            viewer.choose_layer(choice);
            self.start_viewer(now, key);
        }
    }

    /// A viewer's PLI or FIR.
    pub(super) fn viewer_needs_keyframe(&mut self, now: Instant, key: usize) {
        let Some(viewer) = self.viewers.get_mut(key) else {
            return;
        };
        let Some(hub) = self.hubs.get_mut(viewer.hub) else {
            return;
        };
        if hub.answers_pli == Some(false) {
            viewer.restart(hub, self.config.run_up, now);
        }
        let (hub, layer) = (viewer.hub, viewer.wanted_layer());
        self.list_paced(now, key);
        self.ask_for_keyframe(now, hub, layer);
    }

    pub(super) fn publisher_output(&mut self, session: usize, output: PublisherOutput) {
        let Some(owner) = self.sessions.get_mut(session) else {
            return;
        };
        let (id, stream) = (owner.id, owner.stream.clone());
        let current = self
            .sources
            .get(&stream)
            .is_some_and(|source| source.publisher == id);
        // Until the control plane says that this is the publisher, nobody is to see it.
        if !current {
            if owner.early.len() < MAX_EARLY {
                owner.early.push(output);
            }
            return;
        }
        let key = self.hub_for(&stream);
        let Some(hub) = self.hubs.get_mut(key) else { return };
        match output {
            PublisherOutput::Packet(routed) => {
                let copy = (!hub.subscribers.is_empty()).then(|| routed.clone());
                if hub.take(routed) {
                    self.fresh.push(key);
                    if let Some(copy) = copy {
                        let batch = self.outbound.entry(key).or_default();
                        if batch.is_empty() {
                            self.to_hand_on.push(key);
                        }
                        batch.push(copy);
                    }
                }
            }
            PublisherOutput::Clock { kind, layer, point } => {
                hub.clock.report(&self.epoch, &point);
                if let Some(layer) = hub.lane_mut(kind).layer_mut(layer) {
                    layer.clock = Some(point);
                }
                let subscribers = hub.subscribers.clone();
                for worker in subscribers {
                    let stream = stream.clone();
                    self.send_to(
                        worker,
                        Message::Clock {
                            stream,
                            publisher: id,
                            kind,
                            layer,
                            point,
                        },
                    );
                }
            }
        }
    }

    /// A publisher here is the stream's from now on: what it sent so far counts.
    fn present(&mut self, source: Option<Source>) {
        let session = source.and_then(|source| self.by_id.get(&source.publisher).copied());
        let Some(session) = session else { return };
        let early = self
            .sessions
            .get_mut(session)
            .map(|session| std::mem::take(&mut session.early));
        for output in early.unwrap_or_default() {
            self.publisher_output(session, output);
        }
    }

    pub(super) fn publisher_left(&mut self, now: Instant, id: SessionId, stream: &StreamName) {
        if self
            .sources
            .get(stream)
            .is_some_and(|source| source.publisher == id)
        {
            self.change_source(now, stream.clone(), None);
        }
    }

    pub(super) fn stream_message(&mut self, now: Instant, message: Message) {
        match message {
            Message::SourceChanged { stream, source } => {
                self.change_source(now, stream, source);
                self.present(source);
            }
            Message::Subscribe {
                stream,
                publisher,
                worker,
            } => self.add_subscriber(stream, publisher, worker),
            Message::Unsubscribe { stream, worker } => {
                if let Some(hub) = self
                    .by_stream
                    .get(&stream)
                    .and_then(|key| self.hubs.get_mut(*key))
                {
                    hub.subscribers.retain(|known| *known != worker);
                }
            }
            Message::Media {
                stream,
                publisher,
                packets,
                stored,
            } => {
                let Some(key) = self.subscribed_hub(&stream, publisher) else {
                    return;
                };
                let Some(hub) = self.hubs.get_mut(key) else { return };
                if stored {
                    hub.take_stored(packets);
                } else {
                    for packet in packets {
                        hub.take(packet);
                    }
                    self.fresh.push(key);
                }
                self.start_waiting(now, key);
            }
            Message::Clock {
                stream,
                publisher,
                kind,
                layer,
                point,
            } => {
                let Some(key) = self.subscribed_hub(&stream, publisher) else {
                    return;
                };
                let Some(hub) = self.hubs.get_mut(key) else { return };
                hub.clock.report(&self.epoch, &point);
                if let Some(layer) = hub.lane_mut(kind).layer_mut(layer) {
                    layer.clock = Some(point);
                }
            }
            Message::AnswersPli {
                stream,
                publisher,
                answers,
            } => {
                let Some(key) = self.subscribed_hub(&stream, publisher) else {
                    return;
                };
                if let Some(hub) = self.hubs.get_mut(key) {
                    hub.answers_pli = Some(answers);
                }
            }
            Message::RequestKeyframe {
                stream,
                publisher,
                layer,
            } => {
                if let Some(key) = self.by_stream.get(&stream).copied()
                    && let Some(hub) = self.hubs.get(key)
                    && hub.source.is_some_and(|source| source.publisher == publisher)
                {
                    self.ask_for_keyframe(now, key, layer);
                }
            }
            Message::Datagram { .. }
            | Message::ReadKeyframe { .. }
            | Message::ChooseLayer { .. }
            | Message::Mute { .. }
            | Message::End { .. }
            | Message::RestartIce { .. }
            | Message::Shutdown => {}
        }
    }

    /// The hub of a stream that comes from another worker, if that publisher still is the one.
    fn subscribed_hub(&self, stream: &StreamName, publisher: SessionId) -> Option<usize> {
        let key = *self.by_stream.get(stream)?;
        let hub = self.hubs.get(key)?;
        (hub.subscribed && hub.source.is_some_and(|source| source.publisher == publisher)).then_some(key)
    }

    fn change_source(&mut self, now: Instant, stream: StreamName, source: Option<Source>) {
        match source {
            Some(source) => self.sources.insert(stream.clone(), source),
            None => self.sources.remove(&stream),
        };
        let Some(key) = self.by_stream.get(&stream).copied() else {
            return;
        };
        let Some(hub) = self.hubs.get_mut(key) else { return };
        if hub.source == source {
            return;
        }
        let old = hub.source.filter(|_| hub.subscribed);
        hub.change_source(source);
        for key in hub.viewers.clone() {
            if let Some(viewer) = self.viewers.get_mut(key) {
                viewer.source_changed(now);
            }
            if source.is_some() {
                self.begin_reports(now, key);
            }
        }
        if source.is_some() {
            self.wake_by(now + TICK);
        }
        self.outbound.remove(&key);
        if let Some(old) = old {
            self.send_to(
                old.worker,
                Message::Unsubscribe {
                    stream,
                    worker: self.id,
                },
            );
        }
        self.subscribe(key);
        self.drop_hub_if_idle(key);
    }

    /// Another worker has viewers: it gets what the buffers hold, and from then on every packet.
    fn add_subscriber(&mut self, stream: StreamName, publisher: SessionId, worker: WorkerId) {
        let current = self
            .sources
            .get(&stream)
            .is_some_and(|s| s.publisher == publisher && s.worker == self.id);
        if !current {
            return;
        }
        let key = self.hub_for(&stream);
        let Some(hub) = self.hubs.get_mut(key) else { return };
        if hub.subscribers.contains(&worker) {
            return;
        }
        hub.subscribers.push(worker);
        let mut packets = Vec::new();
        let mut clocks = Vec::new();
        for lane in [&hub.audio, &hub.video] {
            for (index, layer) in lane.layers.iter().enumerate() {
                let index = index as u8;
                let routed = |packet: &MediaPacket| RoutedPacket {
                    kind: lane.kind,
                    layer: index,
                    epoch: layer.epoch,
                    rid: layer.rid.clone(),
                    size: layer.size,
                    packet: packet.clone(),
                };
                packets.extend(layer.buffer.since(SeqNo(0)).map(routed));
                clocks.extend(layer.clock.map(|point| (lane.kind, index, point)));
            }
        }
        // Packets of this turn are in the snapshot already.
        let rest = self.outbound.remove(&key);
        let others: Vec<_> = hub
            .subscribers
            .iter()
            .copied()
            .filter(|known| *known != worker)
            .collect();
        let answers = hub.answers_pli;
        if let Some(rest) = rest {
            for other in others {
                let message = Message::Media {
                    stream: stream.clone(),
                    publisher,
                    packets: rest.clone(),
                    stored: false,
                };
                self.send_to(other, message);
            }
        }
        // Ahead of the media: how viewers there start depends on it.
        if let Some(answers) = answers {
            self.send_to(
                worker,
                Message::AnswersPli {
                    stream: stream.clone(),
                    publisher,
                    answers,
                },
            );
        }
        let stored = Message::Media {
            stream: stream.clone(),
            publisher,
            packets,
            stored: true,
        };
        self.send_to(worker, stored);
        for (kind, layer, point) in clocks {
            self.send_to(
                worker,
                Message::Clock {
                    stream: stream.clone(),
                    publisher,
                    kind,
                    layer,
                    point,
                },
            );
        }
    }

    /// Layers, paces and probes follow the estimates.
    fn adapt_viewers(&mut self, now: Instant, key: usize) {
        let count = self.hubs.get(key).map_or(0, |hub| hub.viewers.len());
        for index in 0..count {
            let Some(hub) = self.hubs.get(key) else { return };
            let Some(viewer) = hub.viewers.get(index).copied() else {
                return;
            };
            self.adapt_viewer(now, viewer);
        }
    }

    pub(super) fn adapt_viewer(&mut self, now: Instant, key: usize) {
        let Some(viewer) = self.viewers.get_mut(key) else {
            return;
        };
        let Some(hub) = self.hubs.get(viewer.hub).filter(|hub| hub.source.is_some()) else {
            return;
        };
        let (session, news) = (viewer.id, viewer.news(hub));
        if viewer.adapt(hub, now) {
            self.start_viewer(now, key);
        } else {
            self.list_paced(now, key);
        }
        if let Some((layer, video_paused)) = news {
            self.tell(Notice::Viewing {
                session,
                layer,
                video_paused,
            });
        }
    }

    fn start_waiting(&mut self, now: Instant, hub: usize) {
        let Some(viewers) = self.hubs.get(hub).map(|hub| hub.viewers.clone()) else {
            return;
        };
        for key in viewers {
            if self.viewers.get(key).is_some_and(|viewer| viewer.is_waiting()) {
                self.start_viewer(now, key);
            }
        }
    }

    /// Whether any stream here has a source.
    pub(super) fn tick_streams(&mut self, now: Instant) -> bool {
        let mut published = false;
        let keys: Vec<usize> = self.hubs.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some(hub) = self.hubs.get_mut(key) else {
                continue;
            };
            let Some(source) = hub.source else { continue };
            published = true;
            hub.refresh(now);
            if source.worker == self.id
                && let Some(session) = self.by_id.get(&source.publisher).copied()
            {
                let answers = self
                    .publisher_mut(session)
                    .and_then(|publisher| publisher.answers_pli());
                self.learn_answers(key, answers);
            }
            self.adapt_viewers(now, key);
            self.start_waiting(now, key);
        }
        published
    }

    fn learn_answers(&mut self, key: usize, answers: Option<bool>) {
        let Some(hub) = self.hubs.get_mut(key) else { return };
        if hub.answers_pli == answers {
            return;
        }
        hub.answers_pli = answers;
        let (Some(answers), Some(source)) = (answers, hub.source) else {
            return;
        };
        let (stream, subscribers) = (hub.stream.clone(), hub.subscribers.clone());
        for worker in subscribers {
            let stream = stream.clone();
            self.send_to(
                worker,
                Message::AnswersPli {
                    stream,
                    publisher: source.publisher,
                    answers,
                },
            );
        }
    }
}

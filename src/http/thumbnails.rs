//! Pictures of streams for whoever may watch them: kept, so that many who look cost no more than one.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use moka::future::Cache;

use crate::control::Control;
use crate::core::ids::{SessionId, StreamName};
use crate::core::route::Keyframe;
use crate::picture::{Coded, CodedError, Maker, MakerError, PictureCodec};

/// Sizes that pictures are made in: pixels of the longer side. Few, so that one picture serves many.
pub(super) const SIZES: [u16; 4] = [160, 320, 640, 1280];
/// A stream is looked at so often, whoever asks.
pub(super) const FRESH: Duration = Duration::from_secs(2);
/// A picture that nobody looks at is forgotten.
const KEPT: Duration = Duration::from_secs(60);
/// Bytes of all pictures.
const MAX_BYTES: u64 = 32 << 20;
/// A publisher that is asked for a keyframe takes a round trip and a picture's time.
const TRIES: u32 = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// A picture is of one publisher, and of one size.
type Key = (StreamName, SessionId, u16);

#[derive(Clone)]
pub(super) struct Thumbnails(Arc<Inner>);

struct Inner {
    control: Control,
    maker: Maker,
    /// What was found lately, good or not.
    answers: Cache<Key, Result<Arc<Picture>, Missing>>,
    /// The latest good ones: a keyframe is decoded once, and a broken one leaves the picture before it.
    pictures: Cache<Key, Arc<Picture>>,
}

pub(super) struct Picture {
    /// Of which keyframe.
    number: (u8, u32, u64),
    pub jpeg: Bytes,
    /// Without quotes.
    pub etag: String,
}

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    NoPublisher,
    /// Soon perhaps.
    NotYet,
    /// Never of this stream as it is.
    Codec(&'static str),
    /// The server is at its limits, or decoding failed.
    Failed(String),
    Off,
}

impl Thumbnails {
    pub fn new(control: Control, maker: Maker) -> Self {
        let weigh = |_: &Key, picture: &Arc<Picture>| u32::try_from(picture.jpeg.len()).unwrap_or(u32::MAX);
        Self(Arc::new(Inner {
            control,
            maker,
            answers: Cache::builder().max_capacity(10_000).time_to_live(FRESH).build(),
            pictures: Cache::builder()
                .weigher(weigh)
                .max_capacity(MAX_BYTES)
                .time_to_idle(KEPT)
                .build(),
        }))
    }

    /// The picture of a stream, of the next size that is not smaller than `size`.
    pub async fn get(&self, stream: &StreamName, size: u16) -> Result<Arc<Picture>, Missing> {
        let publisher = self.0.control.publisher_of(stream).ok_or(Missing::NoPublisher)?;
        let [.., largest] = SIZES;
        let size = SIZES.into_iter().find(|step| *step >= size).unwrap_or(largest);
        let key = (stream.clone(), publisher, size);
        // Who asks meanwhile waits for the same answer.
        self.0.answers.get_with(key.clone(), self.look(&key)).await
    }

    async fn look(&self, key: &Key) -> Result<Arc<Picture>, Missing> {
        let (stream, _, size) = key;
        let known = self.0.pictures.get(key).await;
        let codec =
            |of: &crate::control::StreamInfo| of.codecs.video.map(|codec| (codec, PictureCodec::of(codec)));
        if let Some((codec, None)) = self.0.control.stream(stream).as_ref().and_then(codec) {
            return Err(Missing::Codec(codec.name()));
        }
        let mut keyframe = self.0.control.keyframe(stream).await;
        let mut tries = 1;
        while keyframe.is_none() && known.is_none() && tries < TRIES {
            tokio::time::sleep(BETWEEN_TRIES).await;
            keyframe = self.0.control.keyframe(stream).await;
            tries += 1;
        }
        let (Some(keyframe), known) = (keyframe, known.clone()) else {
            return known.ok_or(Missing::NotYet);
        };
        if let Some(known) = known.as_ref().filter(|known| known.number == keyframe.number) {
            return Ok(known.clone());
        }
        match self.make(&keyframe, *size).await {
            Ok(picture) => {
                let picture = Arc::new(picture);
                self.0.pictures.insert(key.clone(), picture.clone()).await;
                Ok(picture)
            }
            Err(missing) => known.ok_or(missing),
        }
    }

    async fn make(&self, keyframe: &Keyframe, size: u16) -> Result<Picture, Missing> {
        let metrics = self.0.control.metrics();
        let coded = Coded::assemble(keyframe.codec, &keyframe.payloads).map_err(|why| match why {
            CodedError::Codec => Missing::Codec(keyframe.codec.name()),
            why => Missing::Failed(why.to_string()),
        })?;
        let made = self.0.maker.jpeg(&coded, size).await;
        metrics.picture(made.is_ok());
        let jpeg = made.map_err(|why| match why {
            MakerError::Off => Missing::Off,
            why => {
                tracing::debug!(%why, "no picture");
                Missing::Failed(why.to_string())
            }
        })?;
        let hash = digest(&SHA256, &jpeg);
        let etag = hash
            .as_ref()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(Picture {
            number: keyframe.number,
            jpeg,
            etag,
        })
    }
}

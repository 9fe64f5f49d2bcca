//! A viewer's wish for a layer, by the WHEP layer extension: checked here, carried out by the viewer's worker.

use super::Control;
use crate::core::ids::{Rid, SessionId};
use crate::core::media::LayerChoice;
use crate::core::route::Message;

/// What a viewer may say; all of it left out is: choose for me.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerRequest {
    /// The video's mid in the viewer's offer. `0` stands for the video too, whatever its mid.
    pub media: Option<String>,
    pub rid: Option<String>,
    /// In pixels. Without it that of the session's POST stays.
    pub max_height: Option<u16>,
    /// Within the layer, no spatial or temporal layer above these.
    pub max_spatial: Option<u8>,
    pub max_temporal: Option<u8>,
}

/// Why a viewer's wish for a layer is not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoLayer {
    #[error("there is no such session, or it has ended")]
    Session,
    #[error("a publisher's session has no layers to choose from")]
    Publisher,
    #[error("the session has no video of that mediaId")]
    Media,
    #[error("the stream has no layer with that rid")]
    Rid,
}

impl Control {
    /// Sets the layer a viewer gets, from the next keyframe on.
    pub fn choose_layer(&self, id: &SessionId, request: &LayerRequest) -> Result<(), NoLayer> {
        let (owner, choice) = self.registry().choose_layer(*id, request)?;
        if let Some(worker) = owner {
            let session = *id;
            self.send(worker, Message::ChooseLayer { session, choice });
        }
        Ok(())
    }
}

impl LayerRequest {
    pub(super) fn choice(&self, max_height: Option<u16>) -> LayerChoice {
        LayerChoice {
            rid: self.rid.as_deref().map(|rid| Rid(rid.into())),
            max_height: self.max_height.or(max_height),
            max_spatial: self.max_spatial,
            max_temporal: self.max_temporal,
        }
    }
}

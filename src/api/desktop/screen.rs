//! What is to be seen.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Desktop, operations};
use crate::api::call::Content;
use crate::api::values::{open_enum, options};
use crate::error::Result;

impl Desktop {
    /// An image of the whole screen, in the format that was asked for.
    ///
    /// Bounded by [`Limits::transfer`](crate::Limits::transfer) and
    /// [`Limits::answer_bytes`](crate::Limits::answer_bytes).
    pub async fn screenshot(&self, query: &DesktopScreenshotQuery) -> Result<Bytes> {
        let limit = self.api.limits.transfer;
        let none = Content::default();
        Ok(self.api.exchange(limit, &operations::SCREENSHOT, &[], query, none).await?.into())
    }

    /// An image of a part of the screen, otherwise as [`screenshot`](Self::screenshot).
    pub async fn screenshot_region(
        &self,
        region: DesktopRegion,
        query: &DesktopScreenshotQuery,
    ) -> Result<Bytes> {
        let limit = self.api.limits.transfer;
        let query = RegionQuery { region, image: query.clone() };
        let none = Content::default();
        Ok(self.api.exchange(limit, &operations::SCREENSHOT_REGION, &[], &query, none).await?.into())
    }
}

open_enum! {
    /// The format of an image.
    DesktopScreenshotFormat {
        /// PNG, without loss.
        Png = "png",
        /// JPEG.
        Jpeg = "jpeg",
        /// WebP.
        Webp = "webp",
    }
}

/// What an image is to be like. What is not set the server decides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DesktopScreenshotQuery {
    /// Its format; PNG unless set.
    pub format: Option<DesktopScreenshotFormat>,
    /// Its quality, 1 to 100, where the format has one; 85 unless set.
    pub quality: Option<u32>,
    /// How large, 0.1 to 1: 0.5 has half the width and half the height.
    pub scale: Option<f32>,
    /// Whether a cross shows where the mouse is; not unless set.
    pub show_cursor: Option<bool>,
}

impl DesktopScreenshotQuery {
    /// As the server decides.
    pub fn new() -> Self {
        Self::default()
    }

    options! {
        /// Its format; PNG unless set.
        format: DesktopScreenshotFormat,
        /// Its quality, 1 to 100, where the format has one; 85 unless set.
        quality: u32,
        /// How large, 0.1 to 1: 0.5 has half the width and half the height.
        scale: f32,
        /// Whether a cross shows where the mouse is.
        show_cursor: bool,
    }
}

/// A part of the screen, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::exhaustive_structs)]
pub struct DesktopRegion {
    /// Its left.
    pub x: i32,
    /// Its top.
    pub y: i32,
    /// Its width.
    pub width: u32,
    /// Its height.
    pub height: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RegionQuery {
    #[serde(flatten)]
    pub(crate) region: DesktopRegion,
    #[serde(flatten)]
    pub(crate) image: DesktopScreenshotQuery,
}

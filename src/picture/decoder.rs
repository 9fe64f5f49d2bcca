//! The process that decodes one picture: codec, size and frame on standard input, a JPEG on standard output.

use std::io::{Cursor, Read, Write};
use std::process::ExitCode;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageReader, Limits};

use super::{Coded, MAX_CODED, MAX_PIXELS, PictureCodec, sandbox};

/// Of 100: a picture of 320 × 180 is some 10 KB.
const QUALITY: u8 = 75;
/// Bytes that a reader of pictures may take.
const MAX_ALLOC: u64 = 256 << 20;

/// Why there is no JPEG. Nobody reads it but who tries the program by hand.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("no decoder for this codec was built in")]
    Codec,
    #[error("{0} × {1} pixels are too many, or none")]
    Size(u32, u32),
    #[error("the decoder gives no picture")]
    Nothing,
    #[error("{0}")]
    Image(#[from] image::ImageError),
    #[cfg(feature = "h264-pictures")]
    #[error("{0}")]
    H264(#[from] openh264::Error),
}

/// What `main` does when it was started as the decoder. `0`: there is a JPEG.
pub fn run() -> ExitCode {
    if let Err(error) = sandbox::enter() {
        eprintln!("{error}");
        return ExitCode::from(3);
    }
    let mut input = Vec::new();
    let limit = MAX_CODED as u64 + 4;
    if std::io::stdin()
        .lock()
        .take(limit)
        .read_to_end(&mut input)
        .is_err()
    {
        return ExitCode::from(2);
    }
    let Some((coded, size)) = read(&input) else {
        return ExitCode::from(2);
    };
    match jpeg(&coded, size) {
        Ok(jpeg) if std::io::stdout().lock().write_all(&jpeg).is_ok() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(2),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(1)
        }
    }
}

/// What the process reads.
pub(super) fn write(coded: &Coded, size: u16) -> Vec<u8> {
    let mut input = vec![coded.codec.to_byte()];
    input.extend_from_slice(&size.to_be_bytes());
    input.extend_from_slice(&coded.data);
    input
}

fn read(input: &[u8]) -> Option<(Coded, u16)> {
    let (&[codec, high, low], data) = input.split_first_chunk::<3>()?;
    let coded = Coded {
        codec: PictureCodec::from_byte(codec)?,
        data: data.to_vec(),
    };
    Some((coded, u16::from_be_bytes([high, low])))
}

/// A JPEG whose longer side has at most `size` pixels.
fn jpeg(coded: &Coded, size: u16) -> Result<Vec<u8>, DecodeError> {
    let picture = match coded.codec {
        PictureCodec::Vp8 => vp8(&coded.data)?,
        PictureCodec::H264 => h264(&coded.data)?,
    };
    let size = u32::from(size);
    let picture = match picture.width().max(picture.height()) > size {
        true => picture.thumbnail(size, size),
        false => picture,
    };
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode_image(&picture.into_rgb8())?;
    Ok(jpeg)
}

fn check_size(width: u32, height: u32) -> Result<(), DecodeError> {
    match width.checked_mul(height) {
        Some(1..=MAX_PIXELS) => Ok(()),
        _ => Err(DecodeError::Size(width, height)),
    }
}

/// A VP8 keyframe is what a lossy WebP file holds (RFC 9649 §2.5).
fn vp8(frame: &[u8]) -> Result<DynamicImage, DecodeError> {
    if let Some(&[_, _, _, _, _, _, w0, w1, h0, h1]) = frame.first_chunk::<10>() {
        let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
        check_size(side(w0, w1), side(h0, h1))?;
    }
    // Chunks have an even length (RFC 9649 §2.3).
    let padding = frame.len() % 2;
    let mut file = Vec::with_capacity(frame.len() + 32);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&((frame.len() + padding + 12) as u32).to_le_bytes());
    file.extend_from_slice(b"WEBPVP8 ");
    file.extend_from_slice(&(frame.len() as u32).to_le_bytes());
    file.extend_from_slice(frame);
    file.resize(file.len() + padding, 0);
    let mut reader = ImageReader::with_format(Cursor::new(file), image::ImageFormat::WebP);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOC);
    reader.limits(limits);
    Ok(reader.decode()?)
}

#[cfg(feature = "h264-pictures")]
fn h264(units: &[u8]) -> Result<DynamicImage, DecodeError> {
    use openh264::formats::YUVSource;
    let mut decoder = openh264::decoder::Decoder::new()?;
    let picture = decoder.decode(units)?.ok_or(DecodeError::Nothing)?;
    let (width, height) = picture.dimensions();
    let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let (width, height) = (side(width), side(height));
    check_size(width, height)?;
    let mut rgb = vec![0; picture.rgb8_len()];
    picture.write_rgb8(&mut rgb);
    let picture = image::RgbImage::from_raw(width, height, rgb).ok_or(DecodeError::Nothing)?;
    Ok(picture.into())
}

#[cfg(not(feature = "h264-pictures"))]
fn h264(_: &[u8]) -> Result<DynamicImage, DecodeError> {
    Err(DecodeError::Codec)
}

//! Finds faces through `libultraface`: pixels in, faces out.
//!
//! ```no_run
//! use ultraface::{Detector, Format, Options, Picture};
//!
//! let pixels = std::fs::read("frame.nv21").unwrap();
//! let detector = Detector::new(&Options { score_threshold: Some(0.6), ..Options::default() })?;
//! for face in detector.detect(&Picture::new(&pixels, 640, 480, Format::Nv21).rotation(90))? {
//!     println!("{:?}", face);
//! }
//! # Ok::<(), ultraface::Error>(())
//! ```

mod ffi;

use std::ffi::{CStr, CString};
use std::fmt;
use std::mem::size_of;
use std::os::raw::c_void;
use std::ptr;

const CAPACITY: usize = 256;

/// How pixels lie in memory; see `ultraface_format` in `ultraface.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Bgr = 0,
    Rgb = 1,
    Gray = 2,
    Nv21 = 3,
    Rgba = 4,
    Bgra = 5,
    Nv12 = 6,
    I420 = 7,
}

/// What becomes of boxes that overlap a better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nms {
    Hard = 0,
    Soft = 1,
    Blend = 2,
}

/// A code of `ultraface.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    InvalidArgument,
    ModelMissing,
    ModelDamaged,
    RuntimeFailed,
    OutOfMemory,
    /// The library has another version of the interface.
    OtherVersion,
}

/// The library refused an argument or failed.
#[derive(Clone, Debug)]
pub struct Error {
    pub status: Status,
    message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Corners in pixels of the upright picture, score in 0..1, class from 1.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Face {
    pub x1: f32,
    pub y1: f32,
    pub x2: f32,
    pub y2: f32,
    pub score: f32,
    pub label: i32,
}

/// How a detector works; `None` keeps the library's default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub score_threshold: Option<f32>,
    pub iou_threshold: Option<f32>,
    pub nms: Option<Nms>,
    pub candidates: Option<i32>,
    pub top_k: Option<i32>,
    pub threads: Option<i32>,
    pub keep_aspect: bool,
}

/// Borrowed pixels, and how they are to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    pixels: &'a [u8],
    width: i32,
    height: i32,
    format: Format,
    stride: i32,
    rotation: i32,
    mirrored: bool,
    region: [i32; 4],
}

impl<'a> Picture<'a> {
    /// A picture of all bytes of a slice, by its size as it lies in memory.
    pub fn new(pixels: &'a [u8], width: i32, height: i32, format: Format) -> Self {
        Picture {
            pixels,
            width,
            height,
            format,
            stride: 0,
            rotation: 0,
            mirrored: false,
            region: [0; 4],
        }
    }

    /// Bytes from row to row; 0 for rows without gaps.
    pub fn stride(mut self, bytes: i32) -> Self {
        self.stride = bytes;
        self
    }

    /// Degrees clockwise that turn it upright: 0, 90, 180 or 270.
    pub fn rotation(mut self, degrees: i32) -> Self {
        self.rotation = degrees;
        self
    }

    /// Whether it is then mirrored from left to right.
    pub fn mirrored(mut self, value: bool) -> Self {
        self.mirrored = value;
        self
    }

    /// The part of the upright picture to look at: x, y, width, height.
    pub fn region(mut self, region: [i32; 4]) -> Self {
        self.region = region;
        self
    }
}

/// A loaded model. Threads may share one, but then wait for each other: open one a thread to use
/// all cores.
#[derive(Debug)]
pub struct Detector {
    handle: *mut c_void,
}

// SAFETY: ultraface.h allows every call from any thread; calls on one detector wait for each other.
unsafe impl Send for Detector {}
// SAFETY: as above; only `drop` frees, and nobody borrows a detector then.
unsafe impl Sync for Detector {}

impl Detector {
    /// Load the model inside the library and prove that it runs.
    pub fn new(options: &Options) -> Result<Self, Error> {
        Self::open(None, options)
    }

    /// Load the model of a folder, or for `None` the one inside the library.
    pub fn open(model_folder: Option<&str>, options: &Options) -> Result<Self, Error> {
        // SAFETY: takes nothing and touches nothing.
        let version = unsafe { ffi::ultraface_version() };
        if version != ffi::API_VERSION {
            return Err(Error {
                status: Status::OtherVersion,
                message: format!("libultraface has version {} of the interface", version),
            });
        }
        let folder = model_folder.map(CString::new).transpose().map_err(|_| Error {
            status: Status::InvalidArgument,
            message: "the name of the model folder has a NUL in it".to_owned(),
        })?;
        let chosen = c_options(options)?;
        let mut handle = ptr::null_mut();
        // SAFETY: the pointers live across the call.
        check(unsafe {
            ffi::ultraface_create(
                folder.as_ref().map_or(ptr::null(), |name| name.as_ptr()),
                &chosen,
                &mut handle,
            )
        })?;
        Ok(Detector { handle })
    }

    /// Find the faces of one picture, best first.
    pub fn detect(&self, picture: &Picture) -> Result<Vec<Face>, Error> {
        let image = ffi::Image {
            size: size_of::<ffi::Image>() as u32,
            format: picture.format as i32,
            width: picture.width,
            height: picture.height,
            stride: picture.stride,
            rotation: picture.rotation,
            mirrored: picture.mirrored as i32,
            region: picture.region,
            chroma_stride: 0,
            pixels: picture.pixels.as_ptr(),
            bytes: picture.pixels.len(),
            chroma: [ptr::null(); 2],
            chroma_bytes: [0; 2],
        };
        let mut faces = [Face::default(); CAPACITY];
        let mut count = 0;
        // SAFETY: the handle is live as long as self; the library reads at most `bytes` bytes and
        // writes at most CAPACITY faces.
        check(unsafe {
            ffi::ultraface_detect(
                self.handle,
                &image,
                faces.as_mut_ptr(),
                CAPACITY as i32,
                &mut count,
            )
        })?;
        Ok(faces[..CAPACITY.min(count as usize)].to_vec())
    }
}

impl Drop for Detector {
    fn drop(&mut self) {
        // SAFETY: made by ultraface_create, freed once.
        unsafe { ffi::ultraface_destroy(self.handle) }
    }
}

/// What the class of a label is called; `None` where the network does not say.
pub fn class_name(label: i32) -> Option<&'static str> {
    // SAFETY: takes any label, and touches nothing.
    let name = unsafe { ffi::ultraface_class_name(label) };
    if name.is_null() {
        return None;
    }
    // SAFETY: a string of the library, which lives as long as it.
    unsafe { CStr::from_ptr(name) }.to_str().ok()
}

fn c_options(options: &Options) -> Result<ffi::Options, Error> {
    let mut chosen = ffi::Options {
        size: 0,
        score_threshold: 0.0,
        iou_threshold: 0.0,
        nms: 0,
        candidates: 0,
        top_k: 0,
        threads: 0,
        keep_aspect: 0,
    };
    // SAFETY: the library writes as many bytes as it is told.
    check(unsafe {
        ffi::ultraface_default_options(&mut chosen, size_of::<ffi::Options>() as u32)
    })?;
    chosen.score_threshold = options.score_threshold.unwrap_or(chosen.score_threshold);
    chosen.iou_threshold = options.iou_threshold.unwrap_or(chosen.iou_threshold);
    chosen.nms = options.nms.map_or(chosen.nms, |nms| nms as i32);
    chosen.candidates = options.candidates.unwrap_or(chosen.candidates);
    chosen.top_k = options.top_k.unwrap_or(chosen.top_k);
    chosen.threads = options.threads.unwrap_or(chosen.threads);
    chosen.keep_aspect = options.keep_aspect as i32;
    Ok(chosen)
}

fn check(status: i32) -> Result<(), Error> {
    let status = match status {
        0 => return Ok(()),
        1 => Status::InvalidArgument,
        2 => Status::ModelMissing,
        3 => Status::ModelDamaged,
        5 => Status::OutOfMemory,
        _ => Status::RuntimeFailed,
    };
    // SAFETY: never null, and of this thread until its next failed call.
    let text = unsafe { CStr::from_ptr(ffi::ultraface_last_error()) };
    Err(Error { status, message: text.to_string_lossy().into_owned() })
}

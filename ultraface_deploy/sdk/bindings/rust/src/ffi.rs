//! What ultraface.h declares.

use std::os::raw::{c_char, c_void};

pub const API_VERSION: i32 = 1;

#[repr(C)]
pub struct Options {
    pub size: u32,
    pub score_threshold: f32,
    pub iou_threshold: f32,
    pub nms: i32,
    pub candidates: i32,
    pub top_k: i32,
    pub threads: i32,
    pub keep_aspect: i32,
}

#[repr(C)]
pub struct Image {
    pub size: u32,
    pub format: i32,
    pub width: i32,
    pub height: i32,
    pub stride: i32,
    pub rotation: i32,
    pub mirrored: i32,
    pub region: [i32; 4],
    pub chroma_stride: i32,
    pub pixels: *const u8,
    pub bytes: usize,
    pub chroma: [*const u8; 2],
    pub chroma_bytes: [usize; 2],
}

extern "C" {
    pub fn ultraface_version() -> i32;
    pub fn ultraface_last_error() -> *const c_char;
    pub fn ultraface_class_name(label: i32) -> *const c_char;
    pub fn ultraface_default_options(options: *mut Options, size: u32) -> i32;
    pub fn ultraface_create(
        model_dir: *const c_char,
        options: *const Options,
        detector: *mut *mut c_void,
    ) -> i32;
    pub fn ultraface_detect(
        detector: *mut c_void,
        image: *const Image,
        faces: *mut crate::Face,
        capacity: i32,
        count: *mut i32,
    ) -> i32;
    pub fn ultraface_destroy(detector: *mut c_void);
}

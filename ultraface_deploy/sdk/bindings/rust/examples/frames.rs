//! Detects a picture of the conformance set N times: frames FILE WIDTH HEIGHT N, NV21 by 270.

use ultraface::{Detector, Format, Options, Picture};

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let pixels = std::fs::read(&words[1]).expect("a picture");
    let number = |at: usize| words[at].parse().expect("a number");
    let picture = Picture::new(&pixels, number(2), number(3), Format::Nv21).rotation(270);
    let detector = Detector::new(&Options::default()).expect("a model");
    for _ in 0..number(4) {
        assert!(!detector.detect(&picture).expect("faces").is_empty());
    }
}

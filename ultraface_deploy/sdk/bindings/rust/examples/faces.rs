//! Prints the faces of a binary PPM picture: cargo run --example faces photo.ppm

use std::error::Error;
use ultraface::{class_name, Detector, Format, Options, Picture};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: faces photo.ppm")?;
    let file = std::fs::read(path)?;
    let head = String::from_utf8_lossy(&file[..file.len().min(64)]).into_owned();
    let mut words = head.split_ascii_whitespace();
    if words.next() != Some("P6") {
        return Err("it is not a binary PPM picture".into());
    }
    let width: usize = words.next().ok_or("no width")?.parse()?;
    let height: usize = words.next().ok_or("no height")?.parse()?;
    let start = file.len().checked_sub(3 * width * height).ok_or("it is cut short")?;
    let picture = Picture::new(&file[start..], width as i32, height as i32, Format::Rgb);
    for face in Detector::new(&Options::default())?.detect(&picture)? {
        print!("{:.1} {:.1} {:.1} {:.1} {:.4}", face.x1, face.y1, face.x2, face.y2, face.score);
        println!(" {}", class_name(face.label).unwrap_or(""));
    }
    Ok(())
}

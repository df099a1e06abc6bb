//! The conformance set, threads, memory and errors.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use ultraface::{class_name, Detector, Error, Face, Format, Nms, Options, Picture, Status};

struct Case {
    name: String,
    pixels: Vec<u8>,
    format: Format,
    numbers: Vec<i32>,
    faces: Vec<Vec<f32>>,
}

impl Case {
    fn picture(&self) -> Picture<'_> {
        let n = &self.numbers;
        Picture::new(&self.pixels, n[0], n[1], self.format)
            .stride(n[2])
            .rotation(n[3])
            .mirrored(n[4] == 1)
            .region([n[6], n[7], n[8], n[9]])
    }

    fn detector(&self) -> Detector {
        let options = Options { keep_aspect: self.numbers[5] == 1, ..Options::default() };
        Detector::new(&options).expect("the model")
    }

    fn check(&self, found: Result<Vec<Face>, Error>) {
        let found = found.expect("faces");
        assert_eq!(found.len(), self.faces.len(), "{}", self.name);
        for (face, wanted) in found.iter().zip(&self.faces) {
            let corners = [face.x1, face.y1, face.x2, face.y2];
            for (corner, expected) in corners.iter().zip(wanted) {
                assert!((corner - expected).abs() <= 1.0, "{}: {:?}", self.name, face);
            }
            assert!((face.score - wanted[4]).abs() <= 1e-3, "{}: {:?}", self.name, face);
            assert_eq!(face.label, wanted[5] as i32, "{}", self.name);
        }
    }
}

fn format_of(word: &str) -> Format {
    match word {
        "bgr" => Format::Bgr,
        "rgb" => Format::Rgb,
        "gray" => Format::Gray,
        "nv21" => Format::Nv21,
        "rgba" => Format::Rgba,
        "bgra" => Format::Bgra,
        "nv12" => Format::Nv12,
        "i420" => Format::I420,
        other => panic!("format {}", other),
    }
}

fn cases() -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance");
    let mut cases: Vec<Case> = Vec::new();
    for line in fs::read_to_string(folder.join("cases.txt")).expect("cases.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "case" => cases.push(Case {
                name: words[1].to_owned(),
                pixels: fs::read(folder.join(words[2])).expect("a picture"),
                format: format_of(words[3]),
                numbers: words[4..].iter().map(|word| word.parse().unwrap()).collect(),
                faces: Vec::new(),
            }),
            "face" => {
                let face = words[1..].iter().map(|word| word.parse().unwrap()).collect();
                cases.last_mut().expect("a case first").faces.push(face);
            }
            _ => {}
        }
    }
    assert_eq!(cases.len(), 12);
    cases
}

fn resident_kilobytes() -> i64 {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

// One test: memory is measured while nothing else runs.
#[test]
fn conformance() {
    let cases = cases();
    for case in &cases {
        case.check(case.detector().detect(&case.picture()));
    }
    class_names();
    keeps_no_memory(&cases[5]);
    eight_threads(cases.into_iter().nth(5).unwrap());
    refusals();
}

fn class_names() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance/cases.txt");
    let mut label = 0;
    for line in fs::read_to_string(path).expect("cases.txt").lines() {
        if let Some(rest) = line.strip_prefix("name ") {
            label += 1;
            let name = class_name(label).expect("a name");
            assert_eq!(rest, format!("{} {}", label, name));
        }
    }
    for nameless in &[-1, 0, label + 1] {
        assert_eq!(class_name(*nameless), None);
    }
}

fn keeps_no_memory(case: &Case) {
    let detector = case.detector();
    let mut before = 0;
    for count in 0..1200 {
        if count == 200 {
            before = resident_kilobytes();
        }
        detector.detect(&case.picture()).expect("faces");
    }
    let grown = resident_kilobytes() - before;
    assert!(grown < 2048, "grew by {} kB", grown);
}

fn eight_threads(case: Case) {
    let case = Arc::new(case);
    let shared = Arc::new(case.detector());
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (case, shared) = (Arc::clone(&case), Arc::clone(&shared));
            thread::spawn(move || {
                let own = case.detector();
                for _ in 0..10 {
                    case.check(shared.detect(&case.picture()));
                    case.check(own.detect(&case.picture()));
                }
            })
        })
        .collect();
    for each in threads {
        each.join().expect("no panic");
    }
}

fn refusals() {
    let pixels = vec![0; 3 * 64 * 48];
    let options =
        Options { threads: Some(2), nms: Some(Nms::Soft), top_k: Some(3), ..Options::default() };
    let detector = Detector::new(&options).expect("the model");
    let bgr = |bytes, width, height| Picture::new(bytes, width, height, Format::Bgr);
    let wrong = [
        bgr(&[], 64, 48),
        bgr(&pixels, 0, 48),
        bgr(&pixels, 64, 0),
        bgr(&pixels, 64, 48).stride(191),
        bgr(&pixels[1..], 64, 48),
        bgr(&pixels, 64, 48).rotation(45),
        bgr(&pixels, 64, 48).region([60, 0, 5, 48]),
    ];
    for picture in &wrong {
        let error = detector.detect(picture).expect_err("refused");
        assert_eq!(error.status, Status::InvalidArgument);
        assert!(!error.to_string().is_empty());
    }
    let options = Options { score_threshold: Some(2.0), ..Options::default() };
    let error = Detector::new(&options).expect_err("refused");
    assert_eq!(error.status, Status::InvalidArgument);
}

// Finds what the conformance set says, in one thread and in eight, and refuses what is wrong.
import Foundation
import XCTest

@testable import UltraFace

private let folder = URL(fileURLWithPath: #filePath)
    .appendingPathComponent("../../../../../conformance").standardized

private struct Case {
    let name: String
    let pixels: [UInt8]
    let format: Format
    let numbers: [Int]
    var faces: [[Float]] = []

    func find(_ detector: Detector) throws -> [Face] {
        try detector.detect(pixels, format, width: numbers[0], height: numbers[1]) { picture in
            picture.stride = numbers[2]
            picture.rotation = Rotation(rawValue: Int32(numbers[3])) ?? .none
            picture.mirrored = numbers[4] == 1
            picture.region = Region(
                x: numbers[6], y: numbers[7], width: numbers[8], height: numbers[9])
        }
    }

    func check(_ found: [Face]) {
        XCTAssertEqual(found.count, faces.count, name)
        for (face, wanted) in zip(found, faces) {
            for (side, expected) in zip([face.x1, face.y1, face.x2, face.y2], wanted) {
                XCTAssertEqual(side, expected, accuracy: 1, name)
            }
            XCTAssertEqual(face.score, wanted[4], accuracy: 1e-3, name)
            XCTAssertEqual(face.label, Int(wanted[5]), name)
        }
    }
}

private func readCases() throws -> [Case] {
    let formats = Dictionary(uniqueKeysWithValues: Format.allCases.map { ("\($0)", $0) })
    var cases: [Case] = []
    let text = try String(contentsOf: folder.appendingPathComponent("cases.txt"), encoding: .utf8)
    for line in text.split(separator: "\n") {
        let words = line.split(separator: " ").map(String.init)
        if words[0] == "case" {
            let pixels = [UInt8](try Data(contentsOf: folder.appendingPathComponent(words[2])))
            let format = try XCTUnwrap(formats[words[3]])
            cases.append(
                Case(
                    name: words[1], pixels: pixels, format: format,
                    numbers: words[4...].compactMap { Int($0) }))
        } else if words[0] == "face" {
            cases[cases.count - 1].faces.append(words[1...].compactMap { Float($0) })
        }
    }
    return cases
}

final class ConformanceTests: XCTestCase {
    func testSameFaces() throws {
        let cases = try readCases()
        XCTAssertEqual(cases.count, 12)
        for one in cases {
            var options = Options()
            options.keepAspect = one.numbers[5] == 1
            one.check(try one.find(Detector(options: options)))
        }
    }

    func testClassNames() throws {
        let cases = folder.appendingPathComponent("cases.txt")
        let lines = try String(contentsOf: cases, encoding: .utf8).split(separator: "\n")
        var label = 0
        for line in lines where line.hasPrefix("name ") {
            label += 1
            XCTAssertEqual(String(line), "name \(label) \(className(label) ?? "nil")")
        }
        for nameless in [-1, 0, label + 1, Int.max] { XCTAssertNil(className(nameless)) }
    }

    func testAThousandDetectionsKeepNoMemory() throws {
        guard FileManager.default.fileExists(atPath: "/proc/self/statm") else {
            throw XCTSkip("growth is measured on Linux")
        }
        let one = try readCases()[5]
        let detector = try Detector()
        func pages() throws -> Int {
            let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
            return try XCTUnwrap(Int(text.split(separator: " ")[1]))
        }
        var before = 0
        for count in 0..<1200 {
            if count == 200 { before = try pages() }
            _ = try one.find(detector)
        }
        XCTAssertLessThan(try pages() - before, 1024)
    }

    func testEightThreads() throws {
        let one = try readCases()[5]
        let shared = try Detector()
        let failed = NSLock()
        var failures: [String] = []
        DispatchQueue.concurrentPerform(iterations: 8) { _ in
            do {
                let own = try Detector()
                for _ in 0..<10 {
                    let (together, alone) = (try one.find(shared), try one.find(own))
                    failed.lock()
                    one.check(together)
                    one.check(alone)
                    failed.unlock()
                }
            } catch {
                failed.lock()
                failures.append("\(error)")
                failed.unlock()
            }
        }
        XCTAssertEqual(failures, [])
    }

    func testRefusals() throws {
        let pixels = [UInt8](repeating: 0, count: 3 * 64 * 48)
        let detector = try Detector()
        func refused(
            _ bytes: [UInt8], _ width: Int = 64, _ height: Int = 48,
            line: UInt = #line, change: (inout Picture) -> Void = { _ in }
        ) {
            XCTAssertThrowsError(
                try detector.detect(bytes, .bgr, width: width, height: height, change: change),
                line: line
            ) { error in
                XCTAssertEqual((error as? UltraFaceError)?.status, .invalidArgument, line: line)
                XCTAssertFalse("\(error)".isEmpty, line: line)
            }
        }
        refused([])
        refused(pixels, 0)
        refused(pixels, 64, 0)
        refused(pixels, Int.max)
        refused(Array(pixels.dropLast()))
        refused(pixels) { $0.stride = 191 }
        refused(pixels) { $0.region = Region(x: 60, y: 0, width: 5, height: 48) }
        refused(pixels) { $0.pixels = UnsafeRawBufferPointer(start: nil, count: 0) }
        XCTAssertNil(Rotation(rawValue: 45))
        var options = Options()
        options.scoreThreshold = 2
        XCTAssertThrowsError(try Detector(options: options)) { error in
            XCTAssertEqual((error as? UltraFaceError)?.status, .invalidArgument)
        }
    }
}

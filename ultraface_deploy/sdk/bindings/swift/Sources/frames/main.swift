// Detects one picture of the conformance set again and again: frames FOLDER COUNT
import Foundation
import UltraFace

let pixels = [UInt8](
    try Data(contentsOf: URL(fileURLWithPath: CommandLine.arguments[1] + "/nv21-270.raw")))
let detector = try Detector()
for _ in 0..<(Int(CommandLine.arguments[2]) ?? 0) {
    _ = try detector.detect(pixels, .nv21, width: 160, height: 240) { $0.rotation = .left }
}

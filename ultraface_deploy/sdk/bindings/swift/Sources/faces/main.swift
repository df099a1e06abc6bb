// Prints the faces of a binary PPM picture: swift run faces photo.ppm
import Foundation
import UltraFace

struct Refused: Error, CustomStringConvertible {
    let description: String
}

func run(_ path: String) throws {
    let file = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    let lines = file.split(
        separator: UInt8(ascii: "\n"), maxSplits: 3, omittingEmptySubsequences: false)
    let text = lines.count < 4 ? "" : String(decoding: lines[1], as: UTF8.self)
    let size = text.split(separator: " ").compactMap { Int($0) }
    guard lines.first.map(Array.init) == Array("P6".utf8), size.count == 2 else {
        throw Refused(description: "\(path): is not a binary PPM picture")
    }
    for face in try Detector().detect(Array(lines[3]), .rgb, width: size[0], height: size[1]) {
        print(
            String(
                format: "%.1f %.1f %.1f %.1f %.4f", face.x1, face.y1, face.x2, face.y2, face.score),
            className(face.label) ?? "")
    }
}

do {
    guard CommandLine.arguments.count == 2 else { throw Refused(description: "name one picture") }
    try run(CommandLine.arguments[1])
} catch {
    FileHandle.standardError.write(Data("\(error)\n".utf8))
    exit(2)
}

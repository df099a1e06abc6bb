// Finds faces through libultraface: pixels in, faces out.
import CUltraFace

#if canImport(Darwin)
import Darwin
#elseif canImport(Glibc)
import Glibc
#endif

/// Corners in pixels of the upright picture, a score in 0...1, a class from 1.
public struct Face: Equatable, Sendable {
    public let x1, y1, x2, y2: Float
    public let score: Float
    public let label: Int
}

/// What becomes of boxes that overlap a better one.
public enum NMS: Int32, Sendable {
    /// They are dropped.
    case hard = 0
    /// Their scores go down by a Gaussian of the overlap.
    case soft
    /// They are averaged with it.
    case blend
}

/// What the class of a label is called; nil where the network does not say.
public func className(_ label: Int) -> String? {
    guard let label = Int32(exactly: label), let name = ultraface_class_name(label) else {
        return nil
    }
    return String(cString: name)
}

/// How to look for faces; begins with the library's defaults.
public struct Options: Sendable {
    /// Faces score above it, 0...1.
    public var scoreThreshold: Float
    /// Overlap above which two boxes are one face, 0...1.
    public var iouThreshold: Float
    public var nms: NMS
    /// The best boxes of a class that enter NMS.
    public var candidates: Int
    /// Faces kept after it, 0 for all.
    public var topK: Int
    /// Of one inference.
    public var threads: Int
    /// Whether the picture is fitted into the network's input and padded.
    public var keepAspect: Bool

    public init() {
        var chosen = ultraface_options()
        ultraface_default_options(&chosen, UInt32(MemoryLayout<ultraface_options>.size))
        scoreThreshold = chosen.score_threshold
        iouThreshold = chosen.iou_threshold
        nms = NMS(rawValue: chosen.nms) ?? .hard
        candidates = Int(chosen.candidates)
        topK = Int(chosen.top_k)
        threads = Int(chosen.threads)
        keepAspect = chosen.keep_aspect != 0
    }

    func lowered() throws -> ultraface_options {
        try ultraface_options(
            size: UInt32(MemoryLayout<ultraface_options>.size), score_threshold: scoreThreshold,
            iou_threshold: iouThreshold, nms: nms.rawValue,
            candidates: narrow(candidates, "candidates"), top_k: narrow(topK, "topK"),
            threads: narrow(threads, "threads"), keep_aspect: keepAspect ? 1 : 0)
    }
}

/// The library refused an argument or failed.
public struct UltraFaceError: Error, CustomStringConvertible {
    /// The values of `ultraface_status`.
    public enum Status: Int32, Sendable {
        case invalidArgument = 1
        case modelMissing, modelDamaged, runtimeFailed, outOfMemory
    }

    public let status: Status
    public let description: String

    static func invalid(_ description: String) -> UltraFaceError {
        UltraFaceError(status: .invalidArgument, description: description)
    }

    static func check(_ status: ultraface_status) throws {
        if status == ULTRAFACE_OK { return }
        throw UltraFaceError(
            status: Status(rawValue: status) ?? .runtimeFailed,
            description: String(cString: ultraface_last_error()))
    }
}

/// A loaded model, freed with its last reference. Threads may share it, but then wait for each
/// other: open one a thread to use all cores.
public final class Detector: @unchecked Sendable {
    // The library locks each detector itself, and nothing but deinit frees it.
    private let handle: OpaquePointer

    /// Load the model and prove that it runs.
    ///
    /// - Parameter folder: of the model files; nil for the model inside the library.
    /// - Throws: `UltraFaceError`: an option is out of its range, or the model cannot be loaded.
    public init(folder: String? = nil, options: Options = Options()) throws {
        guard ultraface_version() == ULTRAFACE_API_VERSION else {
            throw UltraFaceError.invalid(
                "the library has version \(ultraface_version()) of the interface, "
                    + "not \(ULTRAFACE_API_VERSION)")
        }
        var chosen = try options.lowered()
        var created: OpaquePointer?
        try UltraFaceError.check(ultraface_create(folder, &chosen, &created))
        guard let created else { throw UltraFaceError.invalid("no detector came back") }
        handle = created
    }

    deinit { ultraface_destroy(handle) }

    /// Find the faces of one picture, best first.
    ///
    /// - Throws: `UltraFaceError`: no size, a stride below the row, too few bytes, a region outside.
    public func detect(_ picture: Picture) throws -> [Face] {
        try picture.withLowered { image in
            // A picture with more faces than that is looked at twice.
            var room = [ultraface_face](repeating: ultraface_face(), count: 64)
            var count: Int32 = 0
            repeat {
                if count > room.count {
                    room = [ultraface_face](repeating: ultraface_face(), count: Int(count))
                }
                try UltraFaceError.check(
                    ultraface_detect(handle, &image, &room, Int32(room.count), &count))
            } while count > room.count
            return room.prefix(Int(count)).map {
                Face(
                    x1: $0.x1, y1: $0.y1, x2: $0.x2, y2: $0.y2, score: $0.score,
                    label: Int($0.label))
            }
        }
    }
}

func narrow(_ number: Int, _ name: String) throws -> Int32 {
    guard let narrowed = Int32(exactly: number) else {
        throw UltraFaceError.invalid("\(name): \(number) is out of range")
    }
    return narrowed
}

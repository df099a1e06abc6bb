// Faces in a pixel buffer by Core ML, without Vision: resize, network, threshold, suppression.
//
// Reads a model that was converted with `--to coreml --head decoded`: boxes are corners in 0...1.

import CoreML
import CoreVideo
import Foundation

/// A face: corners in pixels of the buffer, and how sure the network is.
public struct Face {
    public let x1, y1, x2, y2: Float
    public let score: Float
}

public enum DetectorError: Error {
    /// The model was not converted with `--to coreml --head decoded`.
    case notSuchAModel
    /// The buffer is not of the format `kCVPixelFormatType_32BGRA`.
    case notBGRA
}

public final class Detector {
    /// What the converter wrote into the model.
    private struct Spec: Decodable {
        struct Input: Decodable {
            let width, height: Int
            let mean, std: [Float]
            let color: String
        }
        let head: String
        let input: Input
    }

    private let model: MLModel
    private let spec: Spec

    /// Opens a compiled model, what `MLModel.compileModel(at:)` makes of an `.mlpackage`.
    ///
    /// `units`: the Neural Engine and the GPU compute in halves, whatever the model is stored in.
    public init(compiled: URL, units: MLComputeUnits = .all) throws {
        let configuration = MLModelConfiguration()
        configuration.computeUnits = units
        model = try MLModel(contentsOf: compiled, configuration: configuration)
        let said = model.modelDescription.metadata[.creatorDefinedKey] as? [String: String]
        guard let text = said?["ultraface_deploy"]?.data(using: .utf8),
              let found = try? JSONDecoder().decode(Spec.self, from: text),
              found.head == "decoded", found.input.color == "rgb"
        else { throw DetectorError.notSuchAModel }
        spec = found
    }

    /// Finds the faces of a picture, best first.
    public func detect(
        _ picture: CVPixelBuffer, threshold: Float = 0.5, overlap: Float = 0.3
    ) throws -> [Face] {
        let input = try network(input: picture)
        let given = try MLDictionaryFeatureProvider(dictionary: ["input": input])
        let made = try model.prediction(from: given)
        guard let scores = made.featureValue(for: "scores")?.multiArrayValue,
              let boxes = made.featureValue(for: "boxes")?.multiArrayValue
        else { throw DetectorError.notSuchAModel }
        let width = Float(CVPixelBufferGetWidth(picture))
        let height = Float(CVPixelBufferGetHeight(picture))
        var candidates: [Face] = []
        for anchor in 0..<scores.shape[1].intValue {
            let score = scores[[0, anchor, 1] as [NSNumber]].floatValue
            guard score > threshold else { continue }
            let corner = (0..<4).map { boxes[[0, anchor, $0] as [NSNumber]].floatValue }
            candidates.append(
                Face(
                    x1: corner[0] * width, y1: corner[1] * height,
                    x2: corner[2] * width, y2: corner[3] * height, score: score))
        }
        return Detector.suppress(candidates, overlap: overlap)
    }

    /// Keeps the best of boxes whose intersection over union is more than `overlap`.
    static func suppress(_ candidates: [Face], overlap: Float) -> [Face] {
        var kept: [Face] = []
        for face in candidates.sorted(by: { $0.score > $1.score }) {
            if kept.allSatisfy({ iou($0, face) <= overlap }) { kept.append(face) }
        }
        return kept
    }

    private static func iou(_ a: Face, _ b: Face) -> Float {
        let width = max(0, min(a.x2, b.x2) - max(a.x1, b.x1))
        let height = max(0, min(a.y2, b.y2) - max(a.y1, b.y1))
        let common = width * height
        let all = (a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - common
        return all > 0 ? common / all : 0
    }

    /// Resizes bilinearly, without keeping the aspect ratio, and normalises: (1, 3, H, W), RGB.
    private func network(input picture: CVPixelBuffer) throws -> MLMultiArray {
        guard CVPixelBufferGetPixelFormatType(picture) == kCVPixelFormatType_32BGRA
        else { throw DetectorError.notBGRA }
        CVPixelBufferLockBaseAddress(picture, .readOnly)
        defer { CVPixelBufferUnlockBaseAddress(picture, .readOnly) }
        guard let base = CVPixelBufferGetBaseAddress(picture) else { throw DetectorError.notBGRA }
        let bytes = base.assumingMemoryBound(to: UInt8.self)
        let stride = CVPixelBufferGetBytesPerRow(picture)
        let (width, height) = (spec.input.width, spec.input.height)
        let columns = Detector.taps(from: CVPixelBufferGetWidth(picture), to: width)
        let rows = Detector.taps(from: CVPixelBufferGetHeight(picture), to: height)
        let array = try MLMultiArray(
            shape: [1, 3, NSNumber(value: height), NSNumber(value: width)], dataType: .float32)
        let values = array.dataPointer.assumingMemoryBound(to: Float.self)
        for (y, row) in rows.enumerated() {
            let (top, bottom) = (bytes + row.first * stride, bytes + row.second * stride)
            for (x, column) in columns.enumerated() {
                for channel in 0..<3 {
                    // BGRA in memory, RGB for the network.
                    let left = 4 * column.first + 2 - channel
                    let right = 4 * column.second + 2 - channel
                    let above = mix(Float(top[left]), Float(top[right]), column.share)
                    let below = mix(Float(bottom[left]), Float(bottom[right]), column.share)
                    // Whole numbers, as the resize of the Python pipeline gives.
                    let pixel = mix(above, below, row.share).rounded()
                    values[(channel * height + y) * width + x] =
                        (pixel - spec.input.mean[channel]) / spec.input.std[channel]
                }
            }
        }
        return array
    }

    private func mix(_ first: Float, _ second: Float, _ share: Float) -> Float {
        first + (second - first) * share
    }

    /// The two source pixels of each target pixel along one axis, and the share of the second.
    private static func taps(
        from source: Int, to target: Int
    ) -> [(first: Int, second: Int, share: Float)] {
        (0..<target).map { place in
            let exact = (Float(place) + 0.5) * Float(source) / Float(target) - 0.5
            let position = min(max(exact, 0), Float(source - 1))
            let first = Int(position)
            return (first, min(first + 1, source - 1), position - Float(first))
        }
    }
}

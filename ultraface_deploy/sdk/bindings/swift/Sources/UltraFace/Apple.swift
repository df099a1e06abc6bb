// Pictures as iOS and macOS have them. Nothing here is built elsewhere.
#if canImport(CoreVideo)
import CoreVideo

extension Detector {
    /// Find the faces of a camera's buffer: 32BGRA, or 420YpCbCr8BiPlanar.
    ///
    /// - Throws: `UltraFaceError`: another pixel format, or what `detect` refuses.
    public func detect(
        _ buffer: CVPixelBuffer, rotation: Rotation = .none, mirrored: Bool = false
    ) throws -> [Face] {
        guard CVPixelBufferLockBaseAddress(buffer, .readOnly) == kCVReturnSuccess else {
            throw UltraFaceError.invalid("the pixel buffer cannot be locked")
        }
        defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
        var picture = try Picture(locked: buffer)
        picture.rotation = rotation
        picture.mirrored = mirrored
        return try detect(picture)
    }
}

extension Picture {
    /// The memory of a locked buffer.
    fileprivate init(locked buffer: CVPixelBuffer) throws {
        let (width, height) = (CVPixelBufferGetWidth(buffer), CVPixelBufferGetHeight(buffer))
        switch CVPixelBufferGetPixelFormatType(buffer) {
        case kCVPixelFormatType_32BGRA:
            let stride = CVPixelBufferGetBytesPerRow(buffer)
            let bytes = UnsafeRawBufferPointer(
                start: CVPixelBufferGetBaseAddress(buffer), count: stride * height)
            self.init(bytes, .bgra, width: width, height: height)
            self.stride = stride
        // Full range differs from video range by a sixteenth of the contrast, which the network
        // does not see.
        case kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange,
            kCVPixelFormatType_420YpCbCr8BiPlanarFullRange:
            let planes = (0..<2).map { plane in
                UnsafeRawBufferPointer(
                    start: CVPixelBufferGetBaseAddressOfPlane(buffer, plane),
                    count: CVPixelBufferGetBytesPerRowOfPlane(buffer, plane)
                        * CVPixelBufferGetHeightOfPlane(buffer, plane))
            }
            self.init(planes[0], .nv12, width: width, height: height)
            stride = CVPixelBufferGetBytesPerRowOfPlane(buffer, 0)
            chroma = [planes[1]]
            chromaStride = CVPixelBufferGetBytesPerRowOfPlane(buffer, 1)
        default:
            throw UltraFaceError.invalid("the pixel buffer is neither 32BGRA nor bi-planar 420")
        }
    }
}
#endif

#if canImport(CoreGraphics)
import CoreGraphics

extension Detector {
    /// Find the faces of a picture, whose pixels are drawn into memory once.
    public func detect(_ image: CGImage, rotation: Rotation = .none) throws -> [Face] {
        let (width, height) = (image.width, image.height)
        var pixels = [UInt8](repeating: 0, count: 4 * width * height)
        try pixels.withUnsafeMutableBytes { bytes in
            let context = CGContext(
                data: bytes.baseAddress, width: width, height: height, bitsPerComponent: 8,
                bytesPerRow: 4 * width, space: CGColorSpaceCreateDeviceRGB(),
                bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
            guard let context else { throw UltraFaceError.invalid("the picture has no size") }
            context.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))
        }
        return try detect(pixels, .rgba, width: width, height: height) { $0.rotation = rotation }
    }
}
#endif

#if canImport(UIKit)
import UIKit

extension Detector {
    /// Find the faces of a picture as it is shown, whatever way its pixels lie.
    public func detect(_ image: UIImage) throws -> [Face] {
        let format = UIGraphicsImageRendererFormat()
        format.scale = image.scale
        let upright = UIGraphicsImageRenderer(size: image.size, format: format).image { _ in
            image.draw(at: .zero)
        }
        guard let drawn = upright.cgImage else {
            throw UltraFaceError.invalid("the picture has no pixels")
        }
        return try detect(drawn)
    }
}
#endif

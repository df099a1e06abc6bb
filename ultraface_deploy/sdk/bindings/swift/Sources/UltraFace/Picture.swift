// A picture: pixels, and how they are to be looked at.
import CUltraFace

/// How pixels lie in memory. The YUV formats are BT.601 with video range and have even sides.
public enum Format: Int32, CaseIterable, Sendable {
    case bgr = 0
    case rgb, gray
    /// Luma rows, then rows of V U pairs.
    case nv21
    case rgba, bgra
    /// Luma rows, then rows of U V pairs.
    case nv12
    /// Luma rows, then rows of U, then rows of V.
    case i420
}

/// The clockwise turn that makes a picture upright.
public enum Rotation: Int32, Sendable {
    case none = 0
    case right = 90
    case half = 180
    case left = 270
}

/// A part of the upright picture.
public struct Region: Equatable, Sendable {
    public var x, y, width, height: Int

    public init(x: Int, y: Int, width: Int, height: Int) {
        self.x = x
        self.y = y
        self.width = width
        self.height = height
    }
}

/// Pixels, which are turned clockwise and then mirrored; the region and the faces are in pixels of
/// what results, the upright picture. The bytes are read where they lie, and only by `detect`.
public struct Picture {
    public var pixels: UnsafeRawBufferPointer
    public var format: Format
    /// Of the picture as it lies in memory.
    public var width, height: Int
    /// Bytes from one row to the next; 0 for rows without gaps.
    public var stride = 0
    public var rotation = Rotation.none
    public var mirrored = false
    /// nil for all of it.
    public var region: Region?
    /// Pairs, or U and V, where they do not follow the luma rows.
    public var chroma: [UnsafeRawBufferPointer] = []
    /// Bytes from one of their rows to the next; 0 for rows without gaps.
    public var chromaStride = 0

    public init(_ pixels: UnsafeRawBufferPointer, _ format: Format, width: Int, height: Int) {
        self.pixels = pixels
        self.format = format
        self.width = width
        self.height = height
    }

    func withLowered<Result>(_ use: (inout ultraface_image) throws -> Result) throws -> Result {
        var image = ultraface_image()
        image.size = UInt32(MemoryLayout<ultraface_image>.size)
        image.format = format.rawValue
        image.width = try narrow(width, "width")
        image.height = try narrow(height, "height")
        image.stride = try narrow(stride, "stride")
        image.rotation = rotation.rawValue
        image.mirrored = mirrored ? 1 : 0
        if let region {
            image.region_x = try narrow(region.x, "region.x")
            image.region_y = try narrow(region.y, "region.y")
            image.region_width = try narrow(region.width, "region.width")
            image.region_height = try narrow(region.height, "region.height")
        }
        image.chroma_stride = try narrow(chromaStride, "chromaStride")
        image.pixels = pixels.baseAddress?.assumingMemoryBound(to: UInt8.self)
        image.bytes = pixels.count
        if let first = chroma.first {
            image.chroma.0 = first.baseAddress?.assumingMemoryBound(to: UInt8.self)
            image.chroma_bytes.0 = first.count
        }
        if chroma.count > 1 {
            image.chroma.1 = chroma[1].baseAddress?.assumingMemoryBound(to: UInt8.self)
            image.chroma_bytes.1 = chroma[1].count
        }
        return try use(&image)
    }
}

extension Detector {
    /// Find the faces of pixels in an array; `change` sets what `Picture` has besides.
    public func detect(
        _ pixels: [UInt8], _ format: Format, width: Int, height: Int,
        change: (inout Picture) -> Void = { _ in }
    ) throws -> [Face] {
        try pixels.withUnsafeBytes { bytes in
            var picture = Picture(bytes, format, width: width, height: height)
            change(&picture)
            return try detect(picture)
        }
    }
}

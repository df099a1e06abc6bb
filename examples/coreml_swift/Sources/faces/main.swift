// faces MODEL.mlpackage PICTURE: prints the faces of a picture, one a line.

import CoreGraphics
import CoreML
import CoreVideo
import Foundation
import ImageIO
import UltraFace

func pixels(of path: String) -> CVPixelBuffer? {
    guard let source = CGImageSourceCreateWithURL(URL(fileURLWithPath: path) as CFURL, nil),
          let image = CGImageSourceCreateImageAtIndex(source, 0, nil)
    else { return nil }
    var made: CVPixelBuffer?
    CVPixelBufferCreate(nil, image.width, image.height, kCVPixelFormatType_32BGRA, nil, &made)
    guard let buffer = made else { return nil }
    CVPixelBufferLockBaseAddress(buffer, [])
    defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
    let order = CGBitmapInfo.byteOrder32Little.rawValue
    let context = CGContext(
        data: CVPixelBufferGetBaseAddress(buffer), width: image.width, height: image.height,
        bitsPerComponent: 8, bytesPerRow: CVPixelBufferGetBytesPerRow(buffer),
        space: CGColorSpace(name: CGColorSpace.sRGB)!,
        bitmapInfo: order | CGImageAlphaInfo.premultipliedFirst.rawValue)
    context?.draw(image, in: CGRect(x: 0, y: 0, width: image.width, height: image.height))
    return buffer
}

let arguments = CommandLine.arguments
guard arguments.count == 3, let picture = pixels(of: arguments[2]) else {
    FileHandle.standardError.write("usage: faces MODEL.mlpackage PICTURE\n".data(using: .utf8)!)
    exit(2)
}
let compiled = try MLModel.compileModel(at: URL(fileURLWithPath: arguments[1]))
let detector = try Detector(compiled: compiled)
for face in try detector.detect(picture) {
    print(face.x1, face.y1, face.x2, face.y2, face.score)
}

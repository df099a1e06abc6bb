// swift-tools-version:5.7
import PackageDescription

let package = Package(
    name: "UltraFace",
    platforms: [.macOS(.v13), .iOS(.v16)],
    products: [.library(name: "UltraFace", targets: ["UltraFace"])],
    targets: [
        .target(name: "UltraFace"),
        .executableTarget(name: "faces", dependencies: ["UltraFace"]),
    ]
)

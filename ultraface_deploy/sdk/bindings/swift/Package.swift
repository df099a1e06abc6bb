// swift-tools-version:5.9
import PackageDescription

// Where CMake puts the library; a program that ships it elsewhere sets its own search path.
let built = Context.packageDirectory + "/../../build/shared"

let package = Package(
    name: "UltraFace",
    products: [.library(name: "UltraFace", targets: ["UltraFace"])],
    targets: [
        .systemLibrary(name: "CUltraFace"),
        .target(
            name: "UltraFace",
            dependencies: ["CUltraFace"],
            linkerSettings: [
                .unsafeFlags(["-L", built, "-Xlinker", "-rpath", "-Xlinker", built])
            ]),
        .executableTarget(name: "faces", dependencies: ["UltraFace"]),
        .executableTarget(name: "frames", dependencies: ["UltraFace"]),
        .testTarget(name: "UltraFaceTests", dependencies: ["UltraFace"]),
    ]
)

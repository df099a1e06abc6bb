// C++ interface of the face detector.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "ultraface.h"

namespace ultraface {

enum class Format { Bgr, Rgb, Gray, Nv21 };
enum class Nms { Hard, Soft, Blend };

// The defaults are those of the Python pipeline.
struct Options {
    float score_threshold = 0.5F;
    float iou_threshold = 0.3F;
    Nms nms = Nms::Hard;
    int candidates = 200;
    int top_k = 0;  // 0 keeps all
    int threads = 1;
};

// Pixels that somebody else owns; see ultraface.h for the formats.
struct Image {
    const std::uint8_t* pixels = nullptr;
    int width = 0;
    int height = 0;
    int stride = 0;  // bytes from one row to the next; 0 for rows without gaps
    Format format = Format::Bgr;
};

// Corners in pixels of the image; a face at the border may reach beyond it.
struct Face {
    float x1, y1, x2, y2;
    float score;
    int label;  // class, from 1
};

class Error : public std::runtime_error {
public:
    Error(ultraface_status status, const std::string& message)
        : std::runtime_error(message), status(status) {}

    const ultraface_status status;
};

// Not shared between threads: open one detector a thread.
class ULTRAFACE_API Detector {
public:
    // Load the model from a folder, or the embedded one where `model_dir` is empty, and prove
    // that it runs. Throws Error.
    explicit Detector(const std::string& model_dir = {}, const Options& options = {});
    ~Detector();
    Detector(Detector&&) noexcept;
    Detector& operator=(Detector&&) noexcept;

    // Return the faces of one image, best first. Throws Error.
    std::vector<Face> detect(const Image& image);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace ultraface

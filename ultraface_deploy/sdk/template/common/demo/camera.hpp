// Frames of a Video4Linux camera.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ultraface.hpp"

// Turn YUYV (two pixels in Y U Y V) into NV21, averaging the chroma of two rows.
//
// stride: bytes of a YUYV row; width and height are even; nv21 holds width * height * 3 / 2 bytes.
void yuyv_to_nv21(const std::uint8_t* yuyv, int width, int height, std::size_t stride,
                  std::uint8_t* nv21);

// Throws std::runtime_error.
class Camera {
public:
    explicit Camera(const std::string& device);
    ~Camera();
    Camera(const Camera&) = delete;
    Camera& operator=(const Camera&) = delete;

    // Wait for the next frame; it lives until the next call.
    ultraface::Image next();

private:
    struct Buffer {
        void* start;
        std::size_t length;
    };

    void open_stream();
    void close_stream();
    void control(unsigned long request, void* argument, const char* what);
    [[noreturn]] void fail(const char* what) const;

    std::string device_;
    int descriptor_ = -1;
    int width_ = 0, height_ = 0;
    std::size_t stride_ = 0;
    std::vector<Buffer> buffers_;
    std::vector<std::uint8_t> frame_;
};

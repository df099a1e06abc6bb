// Pictures in files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ultraface.hpp"

struct Picture {
    int width = 0;
    int height = 0;
    std::vector<std::uint8_t> rgb;  // 3 bytes per pixel, rows without gaps

    Picture() = default;
    Picture(int width, int height)
        : width(width),
          height(height),
          rgb(3 * static_cast<std::size_t>(width) * static_cast<std::size_t>(height)) {}

    std::uint8_t* pixel(int x, int y) {
        return rgb.data() + 3 * (static_cast<std::ptrdiff_t>(y) * width + x);
    }
    ultraface::Image view() const {
        return {rgb.data(), width, height, 0, ultraface::Format::Rgb};
    }
};

// Read a PPM, PGM or BMP file; JPEG and PNG where the demo was built with their libraries. The
// kind is told by the content. EXIF orientation is not followed. Throws std::runtime_error.
Picture read_picture(const std::string& path);

// Write a PPM or BMP file, told by the suffix. Throws std::runtime_error.
void write_picture(const Picture& picture, const std::string& path);

// Draw the faces' boxes.
void mark(Picture& picture, const std::vector<ultraface::Face>& faces);

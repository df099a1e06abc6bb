// Where the pixels of the upright picture lie in memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ultraface.hpp"

namespace ultraface {

// Bytes from the first pixel, and from the first chroma sample.
struct Place {
    std::ptrdiff_t pixel = 0, chroma = 0;
};

// One side of the upright picture as a row or a column of the picture in memory.
struct Axis {
    int start = 0, direction = 1;                    // in memory
    std::ptrdiff_t pixel_step = 0, chroma_step = 0;  // bytes; two pixels share a chroma sample

    Place operator[](int position) const {
        const std::ptrdiff_t at = start + direction * position;
        return {at * pixel_step, at / 2 * chroma_step};
    }
    bool operator==(const Axis& other) const {
        return start == other.start && direction == other.direction &&
               pixel_step == other.pixel_step && chroma_step == other.chroma_step;
    }
};

// The part of an upright picture that is looked at. Its pixel (x, y) lies at columns[x] + rows[y].
struct Layout {
    Layout() = default;
    // Throws Error for an image that cannot be, or that its buffers are too small for.
    explicit Layout(const Image& image);

    bool same_places(const Layout& other) const {
        return width == other.width && height == other.height && columns == other.columns &&
               rows == other.rows;
    }

    Format format = Format::Bgr;
    int pixel_bytes = 0;
    int width = 0, height = 0;
    Axis columns, rows;
    const std::uint8_t* pixels = nullptr;
    const std::uint8_t *u = nullptr, *v = nullptr;
};

}  // namespace ultraface

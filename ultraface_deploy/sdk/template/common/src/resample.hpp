// From an image's pixels to the network's input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ultraface.hpp"

namespace ultraface {

// For each output position the two neighbouring samples it lies between, and their weights.
struct Taps {
    std::vector<std::int32_t> first, second;  // positions in units of the caller's choice
    std::vector<std::uint16_t> weights;       // two per tap, which add up to 2048
};

// Resizes an image bilinearly to the network's input and normalises it.
//
// The arithmetic is that of OpenCV's resize (INTER_LINEAR on 8-bit samples): weights of 11 bits
// and the same roundings, so that C++ and Python feed the network the same bits.
class Resampler {
public:
    // Write the three planes R, G, B of kWidth x kHeight floats.
    void run(const Image& image, float* const planes[3]);

private:
    using Row = std::vector<std::uint16_t>;  // one source row at the output's width: R, G, B

    void prepare(const Image& image);
    const Row& row_at(const Image& image, int y, const Row* keep);

    Taps columns_, rows_;
    std::size_t safe_columns_ = 0;  // taps whose two pixels can be read as 8 bytes
    int width_ = 0, height_ = 0, pixel_bytes_ = 0;
    Row cache_[2];
    int cached_y_[2] = {-1, -1};
};

}  // namespace ultraface

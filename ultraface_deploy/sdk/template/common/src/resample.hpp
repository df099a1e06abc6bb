// From an image's pixels to the network's input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model.hpp"
#include "ultraface.hpp"

namespace ultraface {

// For each output position the two neighbouring samples it lies between, and their weights.
struct Taps {
    std::vector<std::int32_t> first, second;  // positions in units of the caller's choice
    std::vector<std::uint16_t> weights;       // two per tap, which add up to 2048
};

// Which part of the network's input an image fills, from the top left corner; the rest is padding.
struct Fit {
    int columns = model::kWidth;
    int rows = model::kHeight;
};

// Return the largest part of the input that keeps an image's aspect ratio.
Fit keeping_aspect(int image_width, int image_height);

// Resizes an image bilinearly to the network's input and normalises it.
//
// The arithmetic is that of OpenCV's resize (INTER_LINEAR on 8-bit samples): weights of 11 bits
// and the same roundings, so that C++ and Python feed the network the same bits.
class Resampler {
public:
    // Write the planes of kWidth x kHeight floats, in the order of the network's channels.
    void run(const Image& image, float* const planes[model::kChannels], const Fit& fit = {});

private:
    using Row = std::vector<std::uint16_t>;  // one source row at the output's width, by channel

    void prepare(const Image& image, const Fit& fit);
    const Row& row_at(const Image& image, int y, const Row* keep);

    Taps columns_, rows_;
    std::size_t safe_columns_ = 0;  // taps whose two pixels can be read as 8 bytes
    int width_ = 0, height_ = 0, pixel_bytes_ = 0;
    Fit fit_;
    Row cache_[2];
    int cached_y_[2] = {-1, -1};
};

}  // namespace ultraface

// From an image's pixels to the network's input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "layout.hpp"
#include "model.hpp"

namespace ultraface {

// For each output position the two neighbouring samples it lies between, and their weights.
struct Taps {
    std::vector<Place> first, second;
    std::vector<std::uint16_t> weights;  // two per tap, which add up to 2048
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
    void run(const Layout& layout, float* const planes[model::kChannels], const Fit& fit = {});

private:
    using Row = std::vector<std::uint16_t>;  // one source row at the output's width, by channel

    void prepare(const Layout& layout, const Fit& fit);
    const Row& row_at(const Place& place, const Row* keep);

    Layout layout_;
    Fit fit_;
    Taps columns_, rows_;
    std::size_t safe_columns_ = 0;  // taps whose two pixels lie side by side in 8 readable bytes
    Row cache_[2];
    std::ptrdiff_t cached_[2] = {kNothing, kNothing};  // which source row, by its first pixel

    static constexpr std::ptrdiff_t kNothing = -1;
};

}  // namespace ultraface

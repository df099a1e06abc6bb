// What a runtime does for the detector: planes in, scores and boxes out.
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "model.hpp"

namespace ultraface {

struct Bytes {
    const unsigned char* data = nullptr;
    std::size_t size = 0;
};

// The model's files in the order of model::kFiles.
using ModelFiles = std::array<Bytes, model::kNumFiles>;

struct Outputs {
    const float* scores;  // kAnchors x kClasses after softmax, background first
    const float* boxes;   // kAnchors x 4
};

class Network {
public:
    virtual ~Network() = default;

    // Where the caller writes one plane of kWidth x kHeight normalised floats, by kColor's order.
    virtual float* input_plane(int channel) = 0;

    // Run once. The outputs live until the next run. Throws Error.
    virtual Outputs run() = 0;
};

// Load a model. The bytes must outlive the network. Throws Error.
std::unique_ptr<Network> open_network(const ModelFiles& files, int threads);

}  // namespace ultraface

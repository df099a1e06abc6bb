// The generated C file, which is its own runtime.
#include <vector>

#include "native/native.h"
#include "network.hpp"

namespace ultraface {
namespace {

class CNetwork : public Network {
public:
    explicit CNetwork(int threads)
        : native_(native_open(threads), native_close),
          input_(3 * kPlane),
          scores_(model::kAnchors * model::kClasses),
          boxes_(model::kAnchors * 4) {
        if (!native_) throw Error(ULTRAFACE_OUT_OF_MEMORY, "no memory or no threads");
    }

    float* input_plane(int channel) override { return input_.data() + channel * kPlane; }

    Outputs run() override {
        // The detector reads bytes; the numbers of the planes came from bytes.
        native_put_tensor(native_.get(), input_.data(), model::kMean[0], model::kStd[0]);
        if (native_run(native_.get(), scores_.data(), boxes_.data()) != 0) {
            throw Error(ULTRAFACE_RUNTIME_FAILED,
                        "ULTRAFACE_KERNELS names instructions that this processor does not have");
        }
        return {scores_.data(), boxes_.data()};
    }

private:
    static constexpr int kPlane = model::kWidth * model::kHeight;

    std::unique_ptr<native, void (*)(native*)> native_;
    std::vector<float> input_, scores_, boxes_;
};

}  // namespace

std::unique_ptr<Network> open_network(const ModelFiles&, int threads) {
    return std::make_unique<CNetwork>(threads);
}

}  // namespace ultraface

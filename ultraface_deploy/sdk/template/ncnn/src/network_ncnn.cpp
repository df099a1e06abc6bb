// ncnn on the CPU.
#include <net.h>

#include <cstring>
#include <string>

#include "network.hpp"

namespace ultraface {
namespace {

Error failure(const std::string& what) {
    return {ULTRAFACE_RUNTIME_FAILED, "ncnn " + what};
}

class NcnnNetwork : public Network {
public:
    NcnnNetwork(const ModelFiles& files, int threads)
        : input_(model::kWidth, model::kHeight, model::kChannels) {
        if (input_.empty()) throw std::bad_alloc();
        // Options count only before load_param. ncnn computes in fp16 by itself on cores that can.
        net_.opt.num_threads = threads;
        net_.opt.use_vulkan_compute = false;
        net_.opt.use_fp16_packed = model::kHalfPrecision;
        net_.opt.use_fp16_storage = model::kHalfPrecision;
        net_.opt.use_fp16_arithmetic = model::kHalfPrecision;
        net_.opt.use_bf16_storage = false;
        const std::string param(reinterpret_cast<const char*>(files[0].data), files[0].size);
        if (net_.load_param_mem(param.c_str()) != 0) throw failure("cannot read the .param file");
        // The .bin carries no length of its own: that it is whole was checked before.
        if (net_.load_model(files[1].data) <= 0) throw failure("cannot read the .bin file");
    }

    float* input_plane(int channel) override { return input_.channel(channel); }

    Outputs run() override {
        ncnn::Extractor extractor = net_.create_extractor();
        if (extractor.input("input", input_) != 0) throw failure("finds no blob 'input'");
        return {extract(extractor, "scores", model::kClasses, scores_),
                extract(extractor, "boxes", 4, boxes_)};
    }

private:
    static const float* extract(ncnn::Extractor& extractor, const char* name, int columns,
                                ncnn::Mat& out) {
        if (extractor.extract(name, out) != 0) {
            throw failure(std::string("cannot compute '") + name + "'");
        }
        if (out.dims != 2 || out.w != columns || out.h != model::kAnchors || out.elemsize != 4) {
            throw failure(std::string("'") + name + "' has another shape than " +
                          std::to_string(model::kAnchors) + " x " + std::to_string(columns));
        }
        return out;
    }

    ncnn::Net net_;
    ncnn::Mat input_, scores_, boxes_;
};

}  // namespace

std::unique_ptr<Network> open_network(const ModelFiles& files, int threads) {
    return std::make_unique<NcnnNetwork>(files, threads);
}

}  // namespace ultraface

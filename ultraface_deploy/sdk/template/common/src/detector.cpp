#include <algorithm>
#include <cmath>

#include "layout.hpp"
#include "model.hpp"
#include "model_files.hpp"
#include "network.hpp"
#include "resample.hpp"
#include "ultraface.hpp"

namespace ultraface {
namespace {

constexpr int kMaxThreads = 256;

Error invalid(const std::string& message) { return {ULTRAFACE_INVALID_ARGUMENT, message}; }

void check(const Options& options) {
    const auto is_share = [](float value) { return value >= 0.0F && value <= 1.0F; };
    if (!is_share(options.score_threshold)) throw invalid("score_threshold must lie in 0..1");
    if (!is_share(options.iou_threshold)) throw invalid("iou_threshold must lie in 0..1");
    if (options.nms < Nms::Hard || options.nms > Nms::Blend) {
        throw invalid("nms must be hard (0), soft (1) or blend (2)");
    }
    if (options.candidates < 1) throw invalid("candidates must be at least 1");
    if (options.top_k < 0) throw invalid("top_k must be at least 1, or 0 for all faces");
    if (options.threads < 1 || options.threads > kMaxThreads) {
        throw invalid("threads must lie in 1.." + std::to_string(kMaxThreads));
    }
}

// A runtime that does not work may return numbers all the same.
void check(const Outputs& outputs) {
    float worst = 0.0F;
    for (int i = 0; i < model::kAnchors; ++i) {
        float sum = 0.0F;
        for (int label = 0; label < model::kClasses; ++label) {
            sum += outputs.scores[i * model::kClasses + label];
        }
        // Written so that NaN counts as wrong.
        if (!(std::fabs(sum - 1.0F) <= worst)) worst = std::fabs(sum - 1.0F);
    }
    const bool finite = std::all_of(outputs.boxes, outputs.boxes + 4 * model::kAnchors,
                                    [](float value) { return std::isfinite(value); });
    if (!(worst < 0.05F) || !finite) {
        throw Error(ULTRAFACE_RUNTIME_FAILED,
                    "the runtime's outputs are not a detector's: scores do not sum to 1, or boxes "
                    "are not finite");
    }
}

}  // namespace

struct Detector::Impl {
    Impl(const std::string& model_dir, const Options& options)
        : options((check(options), options)),
          model(model_dir),
          network(open_network(model.files(), options.threads)) {
        for (int channel = 0; channel < model::kChannels; ++channel) {
            std::fill_n(network->input_plane(channel), model::kWidth * model::kHeight, 0.0F);
        }
        check(network->run());
    }

    Options options;
    LoadedModel model;
    std::unique_ptr<Network> network;
    Resampler resampler;
};

Detector::Detector(const std::string& model_dir, const Options& options)
    : impl_(std::make_unique<Impl>(model_dir, options)) {}
Detector::~Detector() = default;
Detector::Detector(Detector&&) noexcept = default;
Detector& Detector::operator=(Detector&&) noexcept = default;

const char* class_name(int label) noexcept {
    return label < 0 || label >= model::kClasses ? nullptr : model::kClassNames[label];
}

std::vector<Face> Detector::detect(const Image& image) {
    const Layout layout(image);
    float* planes[model::kChannels];
    for (int channel = 0; channel < model::kChannels; ++channel) {
        planes[channel] = impl_->network->input_plane(channel);
    }
    const Fit fit =
        impl_->options.keep_aspect ? keeping_aspect(layout.width, layout.height) : Fit();
    impl_->resampler.run(layout, planes, fit);
    const Outputs outputs = impl_->network->run();
    const auto span = [](int input, int image_side, int filled) {
        return static_cast<float>(static_cast<double>(input) * image_side / filled);
    };
    auto faces = model::find_faces(outputs.scores, outputs.boxes,
                                   span(model::kWidth, layout.width, fit.columns),
                                   span(model::kHeight, layout.height, fit.rows), impl_->options);
    const auto left = static_cast<float>(image.region.x), top = static_cast<float>(image.region.y);
    for (Face& face : faces) {
        face.x1 += left;
        face.y1 += top;
        face.x2 += left;
        face.y2 += top;
    }
    return faces;
}

}  // namespace ultraface

// MNN on the CPU.
#include <MNN/Interpreter.hpp>
#include <MNN/Tensor.hpp>
#include <string>

#include "network.hpp"

namespace ultraface {
namespace {

Error failure(const std::string& what) { return {ULTRAFACE_RUNTIME_FAILED, "MNN " + what}; }

class MnnNetwork : public Network {
public:
    MnnNetwork(const ModelFiles& files, int threads)
        : interpreter_(MNN::Interpreter::createFromBuffer(files[0].data, files[0].size),
                       MNN::Interpreter::destroy) {
        if (!interpreter_) throw failure("cannot read the .mnn file");
        MNN::BackendConfig backend;
        backend.precision = model::kHalfPrecision ? MNN::BackendConfig::Precision_Low
                                                  : MNN::BackendConfig::Precision_Normal;
        MNN::ScheduleConfig config;
        config.type = MNN_FORWARD_CPU;
        config.numThread = threads;
        config.backendConfig = &backend;
        session_ = interpreter_->createSession(config);
        if (!session_) throw failure("cannot create a session");
        input_ = interpreter_->getSessionInput(session_, nullptr);
        if (!input_ || input_->elementSize() != model::kChannels * kPlane) {
            throw failure("has another input size than " + std::to_string(model::kWidth) + "x" +
                          std::to_string(model::kHeight));
        }
        // The host tensor states our memory layout; MNN's own may differ.
        host_input_ = std::make_unique<MNN::Tensor>(input_, MNN::Tensor::CAFFE);
        scores_ = find_output("scores", model::kClasses, host_scores_);
        boxes_ = find_output("boxes", 4, host_boxes_);
        interpreter_->releaseModel();
    }

    float* input_plane(int channel) override {
        return host_input_->host<float>() + channel * kPlane;
    }

    Outputs run() override {
        input_->copyFromHostTensor(host_input_.get());
        if (interpreter_->runSession(session_) != MNN::NO_ERROR) {
            throw failure("failed to run the session");
        }
        scores_->copyToHostTensor(host_scores_.get());
        boxes_->copyToHostTensor(host_boxes_.get());
        return {host_scores_->host<float>(), host_boxes_->host<float>()};
    }

private:
    static constexpr int kPlane = model::kWidth * model::kHeight;

    const MNN::Tensor* find_output(const char* name, int columns,
                                   std::unique_ptr<MNN::Tensor>& host) {
        const MNN::Tensor* output = interpreter_->getSessionOutput(session_, name);
        if (!output || output->elementSize() != model::kAnchors * columns) {
            throw failure(std::string("finds no output '") + name + "' of " +
                          std::to_string(model::kAnchors) + " x " + std::to_string(columns));
        }
        host = std::make_unique<MNN::Tensor>(output, MNN::Tensor::CAFFE);
        return output;
    }

    std::unique_ptr<MNN::Interpreter, void (*)(MNN::Interpreter*)> interpreter_;
    MNN::Session* session_ = nullptr;
    MNN::Tensor* input_ = nullptr;
    const MNN::Tensor* scores_ = nullptr;
    const MNN::Tensor* boxes_ = nullptr;
    std::unique_ptr<MNN::Tensor> host_input_, host_scores_, host_boxes_;
};

}  // namespace

std::unique_ptr<Network> open_network(const ModelFiles& files, int threads) {
    return std::make_unique<MnnNetwork>(files, threads);
}

}  // namespace ultraface

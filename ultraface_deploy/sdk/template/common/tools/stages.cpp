// What the stages of a detection cost on this board: median milliseconds of each.
//
// Usage: stages IMAGE.ppm [MODEL_DIR] [ROUNDS]
//
// Each stage runs between two calls of getpgid with numbers that no process group has, so that an
// instrumented emulator can count its instructions.
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

#include "model_files.hpp"
#include "network.hpp"
#include "picture.hpp"
#include "resample.hpp"

namespace {

class Stage {
public:
    template <typename Action>
    void run(const Action& action) {
        using Milliseconds = std::chrono::duration<double, std::milli>;
        const auto start = std::chrono::steady_clock::now();
        syscall(SYS_getpgid, kMark);
        action();
        syscall(SYS_getpgid, kMark + 1);
        times_.push_back(Milliseconds(std::chrono::steady_clock::now() - start).count());
    }

    double median() {
        const auto middle = times_.begin() + static_cast<std::ptrdiff_t>(times_.size() / 2);
        std::nth_element(times_.begin(), middle, times_.end());
        return *middle;
    }

private:
    static constexpr long kMark = 0x55460000;
    std::vector<double> times_;
};

void measure(const Picture& picture, const std::string& model_dir, int rounds) {
    const ultraface::LoadedModel model(model_dir);
    const auto network = ultraface::open_network(model.files(), 1);
    float* planes[ultraface::model::kChannels];
    for (int channel = 0; channel < ultraface::model::kChannels; ++channel) {
        planes[channel] = network->input_plane(channel);
    }
    ultraface::Resampler resampler;
    ultraface::Outputs outputs{};
    std::vector<ultraface::Face> faces;
    Stage resample, inference, decode;
    for (int round = 0; round < rounds; ++round) {
        resample.run([&] { resampler.run(ultraface::Layout(picture.view()), planes); });
        inference.run([&] { outputs = network->run(); });
        decode.run([&] {
            faces = ultraface::model::find_faces(outputs.scores, outputs.boxes,
                                                 static_cast<float>(picture.width),
                                                 static_cast<float>(picture.height), {});
        });
    }
    std::printf("resample %.3f ms, network %.3f ms, decode and NMS %.3f ms, %zu faces\n",
                resample.median(), inference.median(), decode.median(), faces.size());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fputs("usage: stages IMAGE.ppm [MODEL_DIR] [ROUNDS]\n", stderr);
        return 2;
    }
    try {
        measure(read_picture(argv[1]), argc > 2 ? argv[2] : "",
                argc > 3 ? std::max(std::atoi(argv[3]), 1) : 100);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 2;
    }
    return 0;
}

// Runs the stages of one detection apart, each closed by a marker for count_plugin.c.
//
// Usage: stages IMAGE.ppm [MODEL_DIR]
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

#include "model_files.hpp"
#include "network.hpp"
#include "picture.hpp"
#include "resample.hpp"

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    const auto marker = [](int stage) { syscall(SYS_getpgid, 0x5F5F00 + stage); };
    const Picture picture = read_picture(argv[1]);
    const ultraface::LoadedModel model(argc > 2 ? argv[2] : "");
    const auto network = ultraface::open_network(model.files(), 1);
    ultraface::Resampler resampler;
    float* const planes[3] = {network->input_plane(0), network->input_plane(1),
                              network->input_plane(2)};
    std::size_t faces = 0;
    // The first round fills caches and tables that later ones find ready.
    for (int round = 0; round < 2; ++round) {
        marker(0);
        resampler.run(picture.view(), planes);
        marker(1);
        const ultraface::Outputs outputs = network->run();
        marker(2);
        faces = ultraface::model::find_faces(outputs.scores, outputs.boxes, picture.width,
                                             picture.height, {})
                    .size();
        marker(3);
    }
    std::printf("%zu\n", faces);
    return 0;
}

// Command-line demo: an image or a camera in, faces as JSON and as a marked picture out.
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>

#include "options.hpp"
#include "picture.hpp"
#include "report.hpp"
#ifdef HAVE_V4L2
#include "camera.hpp"
#endif

namespace {

// Standard output belongs to the faces: what a runtime prints as it starts goes to standard error.
std::FILE* take_standard_output() {
    std::fflush(stdout);
    const int kept = dup(STDOUT_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    return kept < 0 ? nullptr : fdopen(kept, "w");
}

// A text file or standard output, one line at a time.
class Lines {
public:
    explicit Lines(const std::string& path) : path_(path), file_(take_standard_output()) {
        if (path != "-") {
            if (file_) std::fclose(file_);
            file_ = std::fopen(path.c_str(), "w");
        }
        if (!file_) throw std::runtime_error(path + ": cannot write");
    }
    ~Lines() { std::fclose(file_); }
    Lines(const Lines&) = delete;
    Lines& operator=(const Lines&) = delete;

    void write(const std::string& line) {
        if (std::fprintf(file_, "%s\n", line.c_str()) < 0 || std::fflush(file_) != 0) {
            throw std::runtime_error(path_ + ": cannot write");
        }
    }

private:
    std::string path_;
    std::FILE* file_;
};

void run_image(const Arguments& arguments) {
    Picture picture = read_picture(arguments.image);
    Lines lines(arguments.json);
    ultraface::Detector detector(arguments.model_dir, arguments.options);
    const auto faces = detector.detect(picture.view());
    lines.write(to_json(arguments.image, picture.width, picture.height, faces));
    if (!arguments.marked.empty()) {
        mark(picture, faces);
        write_picture(picture, arguments.marked);
    }
}

#ifdef HAVE_V4L2
void run_camera(const Arguments& arguments) {
    Camera camera(arguments.camera);
    Lines lines(arguments.json);
    ultraface::Detector detector(arguments.model_dir, arguments.options);
    for (int frame = 0; arguments.frames == 0 || frame < arguments.frames; ++frame) {
        const ultraface::Image image = camera.next();
        lines.write(to_json(arguments.camera, image.width, image.height, detector.detect(image)));
    }
}
#else
void run_camera(const Arguments&) {
    throw std::runtime_error("--camera: this build has no camera support (no Video4Linux)");
}
#endif

int run(int argc, char** argv) {
    const Arguments arguments = parse_arguments(argc, argv);
    if (arguments.help) {
        std::fputs(kUsage, stdout);
        return 0;
    }
    if (arguments.camera.empty()) {
        run_image(arguments);
    } else {
        run_camera(arguments);
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 2;
    }
}

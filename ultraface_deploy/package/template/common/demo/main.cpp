// Command-line demo: an image or a camera in, faces as JSON and as a marked picture out.
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

// A text file or standard output, one line at a time.
class Lines {
public:
    explicit Lines(const std::string& path)
        : path_(path), file_(path == "-" ? stdout : std::fopen(path.c_str(), "w")) {
        if (!file_) throw std::runtime_error(path + ": cannot write");
    }
    ~Lines() {
        if (file_ != stdout) std::fclose(file_);
    }
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

void run_image(const Arguments& arguments, ultraface::Detector& detector) {
    Picture picture = read_picture(arguments.image);
    const auto faces = detector.detect(picture.view());
    Lines(arguments.json)
        .write(to_json(arguments.image, picture.width, picture.height, faces));
    if (!arguments.marked.empty()) {
        mark(picture, faces);
        write_picture(picture, arguments.marked);
    }
}

#ifdef HAVE_V4L2
void run_camera(const Arguments& arguments, ultraface::Detector& detector) {
    Camera camera(arguments.camera);
    Lines lines(arguments.json);
    for (int frame = 0; arguments.frames == 0 || frame < arguments.frames; ++frame) {
        const ultraface::Image image = camera.next();
        lines.write(to_json(arguments.camera, image.width, image.height, detector.detect(image)));
    }
}
#else
void run_camera(const Arguments&, ultraface::Detector&) {
    throw std::runtime_error("--camera: this build has no camera support (no Video4Linux)");
}
#endif

int run(int argc, char** argv) {
    const Arguments arguments = parse_arguments(argc, argv);
    if (arguments.help) {
        std::fputs(kUsage, stdout);
        return 0;
    }
    ultraface::Detector detector(arguments.model_dir, arguments.options);
    if (arguments.camera.empty()) {
        run_image(arguments, detector);
    } else {
        run_camera(arguments, detector);
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

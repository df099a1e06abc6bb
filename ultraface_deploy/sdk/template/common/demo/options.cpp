#include "options.hpp"

#include <cstdlib>
#include <stdexcept>

const char kUsage[] =
    "usage: ultraface_demo IMAGE | --camera DEVICE [options]\n"
    "  --model DIR         folder of the model files; not needed where the model is embedded\n"
    "  --json FILE         where the faces go; - for standard output (default)\n"
    "  --marked FILE       also write the picture with boxes, .ppm or .bmp\n"
    "  --score X           faces score above it, 0..1 (default 0.5)\n"
    "  --iou X             overlap above which two boxes are one face, 0..1 (default 0.3)\n"
    "  --nms KIND          hard (default), soft or blend\n"
    "  --candidates N      best boxes that enter NMS (default 200)\n"
    "  --top-k N           faces to keep, 0 for all (default)\n"
    "  --threads N         threads of one inference (default 1)\n"
    "  --keep-aspect       fit the picture into the network's input and pad it\n"
    "  --frames N          camera frames to read, 0 for endless (default)\n";

namespace {

int parse_int(const std::string& name, const std::string& text) {
    char* end = nullptr;
    const long value = std::strtol(text.c_str(), &end, 10);
    if (text.empty() || *end || value < -1000000 || value > 1000000) {
        throw std::invalid_argument(name + " " + text + ": is not a whole number");
    }
    return static_cast<int>(value);
}

float parse_float(const std::string& name, const std::string& text) {
    char* end = nullptr;
    const float value = std::strtof(text.c_str(), &end);
    if (text.empty() || *end) throw std::invalid_argument(name + " " + text + ": is not a number");
    return value;
}

ultraface::Nms parse_nms(const std::string& text) {
    if (text == "hard") return ultraface::Nms::Hard;
    if (text == "soft") return ultraface::Nms::Soft;
    if (text == "blend") return ultraface::Nms::Blend;
    throw std::invalid_argument("--nms " + text + ": is neither hard, soft nor blend");
}

void set_option(Arguments& out, const std::string& name, const std::string& value) {
    if (name == "--camera") out.camera = value;
    else if (name == "--model") out.model_dir = value;
    else if (name == "--json") out.json = value;
    else if (name == "--marked") out.marked = value;
    else if (name == "--frames") out.frames = parse_int(name, value);
    else if (name == "--score") out.options.score_threshold = parse_float(name, value);
    else if (name == "--iou") out.options.iou_threshold = parse_float(name, value);
    else if (name == "--nms") out.options.nms = parse_nms(value);
    else if (name == "--candidates") out.options.candidates = parse_int(name, value);
    else if (name == "--top-k") out.options.top_k = parse_int(name, value);
    else if (name == "--threads") out.options.threads = parse_int(name, value);
    else throw std::invalid_argument(name + ": unknown option; see --help");
}

}  // namespace

Arguments parse_arguments(int argc, char** argv) {
    Arguments out;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (word == "--help" || word == "-h") {
            out.help = true;
        } else if (word == "--keep-aspect") {
            out.options.keep_aspect = true;
        } else if (word.rfind("--", 0) != 0) {
            if (!out.image.empty()) throw std::invalid_argument(word + ": one image at a time");
            out.image = word;
        } else {
            if (i + 1 == argc) throw std::invalid_argument(word + ": a value is missing");
            set_option(out, word, argv[++i]);
        }
    }
    if (!out.help && out.image.empty() == out.camera.empty()) {
        throw std::invalid_argument("give an image or --camera; see --help");
    }
    if (!out.camera.empty() && !out.marked.empty()) {
        throw std::invalid_argument("--marked: goes with an image, not with --camera");
    }
    return out;
}

// The C interface: no exception crosses it.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <new>
#include <string>

#include "ultraface.h"
#include "ultraface.hpp"

struct ultraface_detector {
    ultraface::Detector detector;
    std::mutex one_at_a_time;
};

namespace {

// Fixed size: reporting that memory ran out must not need memory.
thread_local char last_error[512] = "";

ultraface_status fail(ultraface_status status, const char* message) noexcept {
    std::snprintf(last_error, sizeof(last_error), "%s", message);
    return status;
}

template <typename Action>
ultraface_status guarded(const Action& action) noexcept {
    try {
        action();
        return ULTRAFACE_OK;
    } catch (const ultraface::Error& error) {
        return fail(error.status, error.what());
    } catch (const std::bad_alloc&) {
        return fail(ULTRAFACE_OUT_OF_MEMORY, "out of memory");
    } catch (const std::exception& error) {
        return fail(ULTRAFACE_RUNTIME_FAILED, error.what());
    } catch (...) {
        return fail(ULTRAFACE_RUNTIME_FAILED, "the runtime threw something unknown");
    }
}

// Copy a struct of the caller's, which may be shorter or longer than this library's: what it lacks
// is 0, and what this library does not know must be.
template <typename Struct>
Struct read_struct(const Struct& given, std::size_t shortest, const char* name) {
    const std::size_t size = given.size;
    const auto* bytes = reinterpret_cast<const unsigned char*>(&given);
    if (size < shortest) {
        throw ultraface::Error(ULTRAFACE_INVALID_ARGUMENT,
                               std::string(name) + ".size is " + std::to_string(size) +
                                   "; set it to sizeof(ultraface_" + name + ")");
    }
    if (size > sizeof(Struct) && !std::all_of(bytes + sizeof(Struct), bytes + size,
                                              [](unsigned char byte) { return byte == 0; })) {
        throw ultraface::Error(ULTRAFACE_INVALID_ARGUMENT,
                               std::string(name) + " uses a field of a newer ultraface.h");
    }
    Struct out{};
    std::memcpy(&out, bytes, std::min(size, sizeof(Struct)));
    return out;
}

// What version 1 had of each, in bytes: fields that came later may be missing.
constexpr std::size_t kFirstOptions = offsetof(ultraface_options, keep_aspect) + sizeof(int32_t);
constexpr std::size_t kFirstImage =
    offsetof(ultraface_image, chroma_bytes) + 2 * sizeof(std::size_t);

ultraface::Options read_options(const ultraface_options& given) {
    const ultraface_options options = read_struct(given, kFirstOptions, "options");
    ultraface::Options out;
    out.score_threshold = options.score_threshold;
    out.iou_threshold = options.iou_threshold;
    out.nms = static_cast<ultraface::Nms>(options.nms);
    out.candidates = options.candidates;
    out.top_k = options.top_k;
    out.threads = options.threads;
    out.keep_aspect = options.keep_aspect != 0;
    return out;
}

ultraface::Image read_image(const ultraface_image& given) {
    const ultraface_image image = read_struct(given, kFirstImage, "image");
    ultraface::Image out;
    out.pixels = image.pixels;
    out.width = image.width;
    out.height = image.height;
    out.stride = image.stride;
    out.format = static_cast<ultraface::Format>(image.format);
    out.rotation = image.rotation;
    out.mirrored = image.mirrored != 0;
    out.region = {image.region_x, image.region_y, image.region_width, image.region_height};
    out.bytes = image.bytes;
    std::copy_n(image.chroma, 2, out.chroma);
    std::copy_n(image.chroma_bytes, 2, out.chroma_bytes);
    out.chroma_stride = image.chroma_stride;
    return out;
}

}  // namespace

int32_t ultraface_version(void) { return ULTRAFACE_API_VERSION; }

const char* ultraface_strerror(ultraface_status status) {
    switch (status) {
        case ULTRAFACE_OK: return "no error";
        case ULTRAFACE_INVALID_ARGUMENT: return "invalid argument";
        case ULTRAFACE_MODEL_MISSING: return "model file cannot be opened";
        case ULTRAFACE_MODEL_DAMAGED: return "model file is not the one of this library";
        case ULTRAFACE_RUNTIME_FAILED: return "the runtime failed";
        case ULTRAFACE_OUT_OF_MEMORY: return "out of memory";
        default: return "unknown status";
    }
}

const char* ultraface_class_name(int32_t label) { return ultraface::class_name(label); }

ultraface_status ultraface_default_options(ultraface_options* options, uint32_t size) {
    if (!options) return fail(ULTRAFACE_INVALID_ARGUMENT, "options is a null pointer");
    if (size < kFirstOptions) {
        return fail(ULTRAFACE_INVALID_ARGUMENT,
                    "size is too small; give sizeof(ultraface_options)");
    }
    const ultraface::Options defaults;
    const ultraface_options known = {size,
                                     defaults.score_threshold,
                                     defaults.iou_threshold,
                                     static_cast<ultraface_nms>(defaults.nms),
                                     defaults.candidates,
                                     defaults.top_k,
                                     defaults.threads,
                                     defaults.keep_aspect};
    std::memset(options, 0, size);
    std::memcpy(options, &known, std::min<std::size_t>(size, sizeof(known)));
    return ULTRAFACE_OK;
}

ultraface_status ultraface_create(const char* model_dir, const ultraface_options* options,
                                  ultraface_detector** detector) {
    if (!detector) return fail(ULTRAFACE_INVALID_ARGUMENT, "detector is a null pointer");
    *detector = nullptr;
    return guarded([&] {
        const auto parsed = options ? read_options(*options) : ultraface::Options();
        *detector =
            new ultraface_detector{ultraface::Detector(model_dir ? model_dir : "", parsed), {}};
    });
}

ultraface_status ultraface_detect(ultraface_detector* detector, const ultraface_image* image,
                                  ultraface_face* faces, int32_t capacity, int32_t* count) {
    if (!detector) return fail(ULTRAFACE_INVALID_ARGUMENT, "detector is a null pointer");
    if (!image) return fail(ULTRAFACE_INVALID_ARGUMENT, "image is a null pointer");
    if (!count) return fail(ULTRAFACE_INVALID_ARGUMENT, "count is a null pointer");
    *count = 0;
    if (capacity < 0) return fail(ULTRAFACE_INVALID_ARGUMENT, "capacity is negative");
    if (!faces && capacity > 0) return fail(ULTRAFACE_INVALID_ARGUMENT, "faces is a null pointer");
    return guarded([&] {
        const ultraface::Image asked = read_image(*image);
        const std::lock_guard<std::mutex> lock(detector->one_at_a_time);
        const auto found = detector->detector.detect(asked);
        *count = static_cast<int32_t>(found.size());
        for (int32_t i = 0; i < *count && i < capacity; ++i) {
            const ultraface::Face& face = found[static_cast<std::size_t>(i)];
            faces[i] = {face.x1, face.y1, face.x2, face.y2, face.score, face.label};
        }
    });
}

void ultraface_destroy(ultraface_detector* detector) { delete detector; }

const char* ultraface_last_error(void) { return last_error; }

// The C interface: no exception crosses it.
#include <cstdio>
#include <new>

#include "ultraface.h"
#include "ultraface.hpp"

struct ultraface_detector {
    ultraface::Detector detector;
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

ultraface::Options read_options(const ultraface_options& options) {
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

}  // namespace

ultraface_status ultraface_default_options(ultraface_options* options) {
    if (!options) return fail(ULTRAFACE_INVALID_ARGUMENT, "options is a null pointer");
    const ultraface::Options defaults;
    *options = {defaults.score_threshold, defaults.iou_threshold,
                static_cast<ultraface_nms>(defaults.nms), defaults.candidates, defaults.top_k,
                defaults.threads, defaults.keep_aspect};
    return ULTRAFACE_OK;
}

ultraface_status ultraface_create(const char* model_dir, const ultraface_options* options,
                                  ultraface_detector** detector) {
    if (!detector) return fail(ULTRAFACE_INVALID_ARGUMENT, "detector is a null pointer");
    *detector = nullptr;
    return guarded([&] {
        const auto parsed = options ? read_options(*options) : ultraface::Options();
        *detector = new ultraface_detector{
            ultraface::Detector(model_dir ? model_dir : "", parsed)};
    });
}

ultraface_status ultraface_detect(ultraface_detector* detector, const uint8_t* pixels,
                                  int32_t width, int32_t height, int32_t stride,
                                  ultraface_format format, ultraface_face* faces,
                                  int32_t capacity, int32_t* count) {
    if (!detector) return fail(ULTRAFACE_INVALID_ARGUMENT, "detector is a null pointer");
    if (!count) return fail(ULTRAFACE_INVALID_ARGUMENT, "count is a null pointer");
    *count = 0;
    if (capacity < 0) return fail(ULTRAFACE_INVALID_ARGUMENT, "capacity is negative");
    if (!faces && capacity > 0) return fail(ULTRAFACE_INVALID_ARGUMENT, "faces is a null pointer");
    return guarded([&] {
        const auto found = detector->detector.detect(
            {pixels, width, height, stride, static_cast<ultraface::Format>(format)});
        *count = static_cast<int32_t>(found.size());
        for (int32_t i = 0; i < *count && i < capacity; ++i) {
            const ultraface::Face& face = found[static_cast<std::size_t>(i)];
            faces[i] = {face.x1, face.y1, face.x2, face.y2, face.score, face.label};
        }
    });
}

void ultraface_destroy(ultraface_detector* detector) { delete detector; }

const char* ultraface_last_error(void) { return last_error; }

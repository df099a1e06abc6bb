// Lets Python call the parts of a generated project that no runtime is needed for.
#include <algorithm>

#include "camera.hpp"
#include "model.hpp"
#include "resample.hpp"

extern "C" {

// One resampler for all calls: what it keeps of one image must not reach the next.
ULTRAFACE_API void probe_resample(const ultraface_image* image, int keep_aspect, float* out) {
    static ultraface::Resampler resampler;
    const std::ptrdiff_t plane = ultraface::model::kWidth * ultraface::model::kHeight;
    float* planes[ultraface::model::kChannels];
    for (int channel = 0; channel < ultraface::model::kChannels; ++channel) {
        planes[channel] = out + channel * plane;
    }
    ultraface::Image asked;
    asked.pixels = image->pixels;
    asked.width = image->width;
    asked.height = image->height;
    asked.stride = image->stride;
    asked.format = static_cast<ultraface::Format>(image->format);
    asked.rotation = image->rotation;
    asked.mirrored = image->mirrored != 0;
    asked.region = {image->region_x, image->region_y, image->region_width, image->region_height};
    asked.bytes = image->bytes;
    asked.chroma_stride = image->chroma_stride;
    std::copy_n(image->chroma, 2, asked.chroma);
    std::copy_n(image->chroma_bytes, 2, asked.chroma_bytes);
    const ultraface::Layout layout(asked);
    const auto fit = keep_aspect ? ultraface::keeping_aspect(layout.width, layout.height)
                                 : ultraface::Fit();
    resampler.run(layout, planes, fit);
}

ULTRAFACE_API void probe_anchor(int index, float out[4]) {
    const ultraface::model::Anchor anchor = ultraface::model::anchor_at(index);
    const float values[4] = {anchor.x, anchor.y, anchor.width, anchor.height};
    std::copy_n(values, 4, out);
}

ULTRAFACE_API int probe_find_faces(const float* scores, const float* boxes, int width, int height,
                     const ultraface_options* options, ultraface_face* out) {
    const auto found = ultraface::model::find_faces(
        scores, boxes, static_cast<float>(width), static_cast<float>(height),
        {options->score_threshold, options->iou_threshold,
         static_cast<ultraface::Nms>(options->nms), options->candidates, options->top_k, 1, false});
    for (const ultraface::Face& face : found) {
        *out++ = {face.x1, face.y1, face.x2, face.y2, face.score, face.label};
    }
    return static_cast<int>(found.size());
}

ULTRAFACE_API void probe_yuyv_to_nv21(const uint8_t* yuyv, int width, int height, int stride, uint8_t* nv21) {
    yuyv_to_nv21(yuyv, width, height, static_cast<std::size_t>(stride), nv21);
}
}

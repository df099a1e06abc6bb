#include "resample.hpp"

#include <algorithm>
#include <cmath>

#if defined(__ARM_NEON)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "model.hpp"

namespace ultraface {
namespace {

using model::kHeight;
using model::kWidth;

constexpr int kWeightBits = 11;

// `at_border` says what a tap beyond the border does: OpenCV lets columns take the border sample
// alone, and rows take it twice, which rounds differently.
enum class AtBorder { Once, Twice };

std::vector<Tap> make_taps(int source, int target, AtBorder at_border) {
    const double scale = 1.0 / (static_cast<double>(target) / source);
    std::vector<Tap> taps(static_cast<std::size_t>(target));
    for (int i = 0; i < target; ++i) {
        const auto position = static_cast<float>((i + 0.5) * scale - 0.5);
        int first = static_cast<int>(std::floor(position));
        float fraction = position - static_cast<float>(first);
        if (at_border == AtBorder::Once && (first < 0 || first >= source - 1)) fraction = 0.0F;
        const auto weight = [](float value) {
            return static_cast<std::uint16_t>(std::lrintf(value * (1 << kWeightBits)));
        };
        const int second = std::clamp(first + 1, 0, source - 1);
        first = std::clamp(first, 0, source - 1);
        taps[static_cast<std::size_t>(i)] = {first, second, weight(1.0F - fraction),
                                             weight(fraction)};
    }
    return taps;
}

struct Rgb {
    int red, green, blue;
};

struct BgrRow {
    const std::uint8_t* row;
    Rgb operator[](int x) const { return {row[3 * x + 2], row[3 * x + 1], row[3 * x]}; }
};

struct RgbRow {
    const std::uint8_t* row;
    Rgb operator[](int x) const { return {row[3 * x], row[3 * x + 1], row[3 * x + 2]}; }
};

struct GrayRow {
    const std::uint8_t* row;
    Rgb operator[](int x) const { return {row[x], row[x], row[x]}; }
};

// ITU-R BT.601 with video range, in OpenCV's 20-bit fixed point (cvtColor, COLOR_YUV2BGR_NV21).
struct Nv21Row {
    const std::uint8_t* luma;
    const std::uint8_t* chroma;
    Rgb operator[](int x) const {
        constexpr int kBits = 20, kHalf = 1 << (kBits - 1);
        const int y = std::max(luma[x] - 16, 0) * 1220542;
        const int v = chroma[x & ~1] - 128, u = chroma[x | 1] - 128;
        const auto clip = [](int value) { return std::clamp(value >> kBits, 0, 255); };
        return {clip(y + kHalf + 1673527 * v), clip(y + kHalf - 852492 * v - 409993 * u),
                clip(y + kHalf + 2116026 * u)};
    }
};

// The sums fill 19 bits; the vertical step drops the lowest four anyway.
inline std::uint16_t mix(int first, int second, const Tap& tap) {
    return static_cast<std::uint16_t>((first * tap.first_weight + second * tap.second_weight) >>
                                      4);
}

template <typename Pixels>
void mix_columns(const Pixels pixels, const std::vector<Tap>& taps, int begin,
                 std::uint16_t* out) {
    for (int i = begin; i < kWidth; ++i) {
        const Tap& tap = taps[static_cast<std::size_t>(i)];
        const Rgb first = pixels[tap.first], second = pixels[tap.second];
        out[i] = mix(first.red, second.red, tap);
        out[kWidth + i] = mix(first.green, second.green, tap);
        out[2 * kWidth + i] = mix(first.blue, second.blue, tap);
    }
}

// The same for interleaved pixels with vector instructions: one load brings both pixels of a tap.
// Writes the first, second and third channel to their planes; returns how many taps are done.
#if defined(__ARM_NEON)
int mix_columns_fast(const std::uint8_t* row, const Tap* taps, int count,
                     std::uint16_t* const out[3]) {
    for (int i = 0; i < count; ++i) {
        const uint16x8_t pixels = vmovl_u8(vld1_u8(row + 3 * taps[i].first));
        uint32x4_t sum = vmull_n_u16(vget_low_u16(pixels), taps[i].first_weight);
        sum = vmlal_n_u16(sum, vget_low_u16(vextq_u16(pixels, pixels, 3)), taps[i].second_weight);
        const uint16x4_t mixed = vshrn_n_u32(sum, 4);
        vst1_lane_u16(out[0] + i, mixed, 0);
        vst1_lane_u16(out[1] + i, mixed, 1);
        vst1_lane_u16(out[2] + i, mixed, 2);
    }
    return count;
}
#elif defined(__SSE2__)
int mix_columns_fast(const std::uint8_t* row, const Tap* taps, int count,
                     std::uint16_t* const out[3]) {
    for (int i = 0; i < count; ++i) {
        const __m128i bytes =
            _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + 3 * taps[i].first));
        const __m128i pixels = _mm_unpacklo_epi8(bytes, _mm_setzero_si128());
        const __m128i pairs = _mm_unpacklo_epi16(pixels, _mm_srli_si128(pixels, 6));
        const __m128i weights = _mm_set1_epi32(taps[i].first_weight | taps[i].second_weight << 16);
        const __m128i mixed = _mm_srli_epi32(_mm_madd_epi16(pairs, weights), 4);
        out[0][i] = static_cast<std::uint16_t>(_mm_extract_epi16(mixed, 0));
        out[1][i] = static_cast<std::uint16_t>(_mm_extract_epi16(mixed, 2));
        out[2][i] = static_cast<std::uint16_t>(_mm_extract_epi16(mixed, 4));
    }
    return count;
}
#else
int mix_columns_fast(const std::uint8_t*, const Tap*, int, std::uint16_t* const[3]) { return 0; }
#endif

// Mix two rows of one channel and normalise them.
void mix_rows(const std::uint16_t* top, const std::uint16_t* bottom, const Tap& tap, int channel,
              float* out) {
    const std::uint32_t first = tap.first_weight, second = tap.second_weight;
    const float mean = model::kMean[channel], scale = 1.0F / model::kStd[channel];
    for (int x = 0; x < kWidth; ++x) {
        const auto sum =
            static_cast<std::int16_t>(((top[x] * first) >> 16) + ((bottom[x] * second) >> 16));
        out[x] = (static_cast<float>((sum + 2) >> 2) - mean) * scale;
    }
}

int bytes_per_pixel(Format format) {
    return format == Format::Bgr || format == Format::Rgb ? 3 : 1;
}

}  // namespace

void Resampler::prepare(const Image& image) {
    if (image.width != width_ || image.height != height_) {
        columns_ = make_taps(image.width, kWidth, AtBorder::Once);
        rows_ = make_taps(image.height, kHeight, AtBorder::Twice);
        width_ = image.width;
        height_ = image.height;
        const auto unsafe = std::find_if(columns_.begin(), columns_.end(), [this](const Tap& tap) {
            return 3 * tap.first + 8 > 3 * width_;
        });
        safe_columns_ = static_cast<int>(unsafe - columns_.begin());
        for (Row& row : cache_) row.resize(3 * static_cast<std::size_t>(kWidth));
    }
    std::fill(std::begin(cached_y_), std::end(cached_y_), -1);
}

// Return one source row at the output's width. Neighbouring output rows share source rows, so the
// last two are kept; `keep` is the one that must not be overwritten.
const Resampler::Row& Resampler::row_at(const Image& image, int y, const Row* keep) {
    for (int slot = 0; slot < 2; ++slot) {
        if (cached_y_[slot] == y) return cache_[slot];
    }
    const int slot = keep == &cache_[0] || (!keep && cached_y_[1] < cached_y_[0]) ? 1 : 0;
    cached_y_[slot] = y;
    std::uint16_t* const out = cache_[slot].data();
    const auto stride = static_cast<std::ptrdiff_t>(
        image.stride ? image.stride : image.width * bytes_per_pixel(image.format));
    const std::uint8_t* const row = image.pixels + y * stride;
    std::uint16_t* const red = out;
    std::uint16_t* const green = out + kWidth;
    std::uint16_t* const blue = out + 2 * kWidth;
    switch (image.format) {
        case Format::Bgr: {
            std::uint16_t* const planes[3] = {blue, green, red};
            const int done = mix_columns_fast(row, columns_.data(), safe_columns_, planes);
            mix_columns(BgrRow{row}, columns_, done, out);
            break;
        }
        case Format::Rgb: {
            std::uint16_t* const planes[3] = {red, green, blue};
            const int done = mix_columns_fast(row, columns_.data(), safe_columns_, planes);
            mix_columns(RgbRow{row}, columns_, done, out);
            break;
        }
        case Format::Gray: mix_columns(GrayRow{row}, columns_, 0, out); break;
        case Format::Nv21: {
            const std::uint8_t* const chroma = image.pixels + (image.height + y / 2) * stride;
            mix_columns(Nv21Row{row, chroma}, columns_, 0, out);
            break;
        }
    }
    return cache_[slot];
}

void Resampler::run(const Image& image, float* const planes[3]) {
    prepare(image);
    for (int y = 0; y < kHeight; ++y) {
        const Tap& tap = rows_[static_cast<std::size_t>(y)];
        const Row& top = row_at(image, tap.first, nullptr);
        const Row& bottom = row_at(image, tap.second, &top);
        for (int channel = 0; channel < 3; ++channel) {
            const std::ptrdiff_t offset = static_cast<std::ptrdiff_t>(channel) * kWidth;
            mix_rows(top.data() + offset, bottom.data() + offset, tap, channel,
                     planes[channel] + static_cast<std::ptrdiff_t>(y) * kWidth);
        }
    }
}

}  // namespace ultraface

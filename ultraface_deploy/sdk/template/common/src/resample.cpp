#include "resample.hpp"

#include <algorithm>
#include <cmath>

#if defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "model.hpp"

namespace ultraface {
namespace {

using model::Color;
using model::kColor;
using model::kHeight;
using model::kWidth;

// Where the network has these channels.
constexpr std::size_t kRed = kColor == Color::Bgr ? 2 : 0;
constexpr std::size_t kBlue = 2 - kRed;

constexpr int kWeightBits = 11;

// `at_border` says what a tap beyond the border does: OpenCV lets columns take the border sample
// alone, and rows take it twice, which rounds differently.
enum class AtBorder { Once, Twice };

// `unit` scales the positions.
Taps make_taps(int source, int target, AtBorder at_border, int unit) {
    const double scale = 1.0 / (static_cast<double>(target) / source);
    Taps taps;
    for (int i = 0; i < target; ++i) {
        const auto position = static_cast<float>((i + 0.5) * scale - 0.5);
        const int first = static_cast<int>(std::floor(position));
        float fraction = position - static_cast<float>(first);
        if (at_border == AtBorder::Once && (first < 0 || first >= source - 1)) fraction = 0.0F;
        for (const float weight : {1.0F - fraction, fraction}) {
            const long fixed = std::lrintf(weight * (1 << kWeightBits));
            taps.weights.push_back(static_cast<std::uint16_t>(fixed));
        }
        taps.first.push_back(std::clamp(first, 0, source - 1) * unit);
        taps.second.push_back(std::clamp(first + 1, 0, source - 1) * unit);
    }
    return taps;
}

struct Rgb {
    int red, green, blue;

    // OpenCV's gray (cvtColor, COLOR_BGR2GRAY), in 15-bit fixed point.
    int gray() const { return (red * 9798 + green * 19235 + blue * 3735 + (1 << 14)) >> 15; }
};

// Rows of pixels by the offset of a pixel's first byte.
struct BgrRow {
    const std::uint8_t* row;
    Rgb operator[](int x) const { return {row[x + 2], row[x + 1], row[x]}; }
};

struct RgbRow {
    const std::uint8_t* row;
    Rgb operator[](int x) const { return {row[x], row[x + 1], row[x + 2]}; }
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
inline std::uint16_t mix(int first, int second, const std::uint16_t weights[2]) {
    return static_cast<std::uint16_t>((first * weights[0] + second * weights[1]) >> 4);
}

template <typename Pixels>
void mix_columns(const Pixels pixels, const Taps& taps, std::size_t begin, std::uint16_t* out) {
    for (std::size_t i = begin; i < taps.first.size(); ++i) {
        const Rgb first = pixels[taps.first[i]], second = pixels[taps.second[i]];
        const std::uint16_t* weights = &taps.weights[2 * i];
        if (kColor == Color::Gray) {
            out[i] = mix(first.gray(), second.gray(), weights);
            continue;
        }
        out[kRed * kWidth + i] = mix(first.red, second.red, weights);
        out[kWidth + i] = mix(first.green, second.green, weights);
        out[kBlue * kWidth + i] = mix(first.blue, second.blue, weights);
    }
}

// The same with vector instructions for pixels of three bytes, where one load of eight brings both
// pixels of a tap. Writes the first, second and third byte to their planes, for at most `count`
// taps; returns how many it did.
#if defined(__aarch64__)
std::size_t mix_columns_fast(const std::uint8_t* row, const Taps& taps, std::size_t count,
                             std::uint16_t* const out[3]) {
    // Lanes of 16 bits with the first pixels of two taps, and the second ones; 255 makes a zero.
    constexpr std::uint8_t kZero = 255;
    static const std::uint8_t kFirst[16] = {0, kZero, 1, kZero, 2,  kZero, kZero, kZero,
                                            8, kZero, 9, kZero, 10, kZero, kZero, kZero};
    static const std::uint8_t kSecond[16] = {3,  kZero, 4,  kZero, 5,  kZero, kZero, kZero,
                                             11, kZero, 12, kZero, 13, kZero, kZero, kZero};
    const uint8x16_t pick_first = vld1q_u8(kFirst), pick_second = vld1q_u8(kSecond);
    // Copies, because the compiler must assume that a store through `out` changes the originals.
    const std::int32_t* const positions = taps.first.data();
    const std::uint16_t* const all_weights = taps.weights.data();
    std::uint16_t *const plane0 = out[0], *const plane1 = out[1], *const plane2 = out[2];
    const auto mix_two = [&](std::size_t i) {
        const uint8x16_t bytes =
            vcombine_u8(vld1_u8(row + positions[i]), vld1_u8(row + positions[i + 1]));
        const uint16x8_t first = vreinterpretq_u16_u8(vqtbl1q_u8(bytes, pick_first));
        const uint16x8_t second = vreinterpretq_u16_u8(vqtbl1q_u8(bytes, pick_second));
        const uint16x4_t weights = vld1_u16(all_weights + 2 * i);
        uint32x4_t one = vmull_lane_u16(vget_low_u16(first), weights, 0);
        one = vmlal_lane_u16(one, vget_low_u16(second), weights, 1);
        uint32x4_t other = vmull_lane_u16(vget_high_u16(first), weights, 2);
        other = vmlal_lane_u16(other, vget_high_u16(second), weights, 3);
        return vcombine_u16(vshrn_n_u32(one, 4), vshrn_n_u32(other, 4));
    };
    std::size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        const uint16x8_t left = mix_two(i), right = mix_two(i + 2);
        const uint16x8_t even = vuzp1q_u16(left, right), odd = vuzp2q_u16(left, right);
        const uint16x8_t first_second = vuzp1q_u16(even, odd);
        vst1_u16(plane0 + i, vget_low_u16(first_second));
        vst1_u16(plane1 + i, vget_high_u16(first_second));
        vst1_u16(plane2 + i, vget_low_u16(vuzp2q_u16(even, odd)));
    }
    return i;
}
#elif defined(__SSE2__)
std::size_t mix_columns_fast(const std::uint8_t* row, const Taps& taps, std::size_t count,
                             std::uint16_t* const out[3]) {
    for (std::size_t i = 0; i < count; ++i) {
        const auto* both = reinterpret_cast<const __m128i*>(row + taps.first[i]);
        const __m128i pixels = _mm_unpacklo_epi8(_mm_loadl_epi64(both), _mm_setzero_si128());
        const __m128i pairs = _mm_unpacklo_epi16(pixels, _mm_srli_si128(pixels, 6));
        const __m128i weights =
            _mm_set1_epi32(taps.weights[2 * i] | taps.weights[2 * i + 1] << 16);
        const __m128i mixed = _mm_srli_epi32(_mm_madd_epi16(pairs, weights), 4);
        out[0][i] = static_cast<std::uint16_t>(_mm_extract_epi16(mixed, 0));
        out[1][i] = static_cast<std::uint16_t>(_mm_extract_epi16(mixed, 2));
        out[2][i] = static_cast<std::uint16_t>(_mm_extract_epi16(mixed, 4));
    }
    return count;
}
#else
std::size_t mix_columns_fast(const std::uint8_t*, const Taps&, std::size_t,
                             std::uint16_t* const[3]) {
    return 0;
}
#endif

// Mix two rows of one channel and normalise them.
void mix_rows(const std::uint16_t* top, const std::uint16_t* bottom,
              const std::uint16_t weights[2], int channel, int columns, float* out) {
    const std::uint32_t first = weights[0], second = weights[1];
    const float mean = model::kMean[channel], scale = 1.0F / model::kStd[channel];
    for (int x = 0; x < columns; ++x) {
        const auto sum =
            static_cast<std::uint16_t>((top[x] * first >> 16) + (bottom[x] * second >> 16) + 2);
        out[x] = (static_cast<float>(sum >> 2) - mean) * scale;
    }
}

int bytes_per_pixel(Format format) {
    return format == Format::Bgr || format == Format::Rgb ? 3 : 1;
}

// Fill what an image leaves of a plane with the network's mean, rounded as a pixel is.
void pad(float* plane, int channel, const Fit& fit) {
    const float mean = model::kMean[channel];
    const float value = (std::nearbyint(mean) - mean) * (1.0F / model::kStd[channel]);
    for (int y = 0; y < kHeight; ++y) {
        float* const row = plane + static_cast<std::ptrdiff_t>(y) * kWidth;
        std::fill(row + (y < fit.rows ? fit.columns : 0), row + kWidth, value);
    }
}

}  // namespace

Fit keeping_aspect(int image_width, int image_height) {
    const double ratio = std::min(static_cast<double>(kWidth) / image_width,
                                  static_cast<double>(kHeight) / image_height);
    const auto scaled = [ratio](int side, int limit) {
        return std::clamp(static_cast<int>(std::nearbyint(side * ratio)), 1, limit);
    };
    return {scaled(image_width, kWidth), scaled(image_height, kHeight)};
}

void Resampler::prepare(const Image& image, const Fit& fit) {
    const int pixel_bytes = bytes_per_pixel(image.format);
    if (image.width != width_ || image.height != height_ || pixel_bytes != pixel_bytes_ ||
        fit.columns != fit_.columns || fit.rows != fit_.rows) {
        columns_ = make_taps(image.width, fit.columns, AtBorder::Once, pixel_bytes);
        rows_ = make_taps(image.height, fit.rows, AtBorder::Twice, 1);
        fit_ = fit;
        width_ = image.width;
        height_ = image.height;
        pixel_bytes_ = pixel_bytes;
        const int last_safe = image.width * pixel_bytes - 8;
        safe_columns_ = static_cast<std::size_t>(
            std::upper_bound(columns_.first.begin(), columns_.first.end(), last_safe) -
            columns_.first.begin());
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
        image.stride ? image.stride : image.width * pixel_bytes_);
    const std::uint8_t* const row = image.pixels + y * stride;
    std::uint16_t* const red = out + kRed * kWidth;
    std::uint16_t* const green = out + kWidth;
    std::uint16_t* const blue = out + kBlue * kWidth;
    const std::size_t fast = kColor == Color::Gray ? 0 : safe_columns_;
    switch (image.format) {
        case Format::Bgr: {
            std::uint16_t* const planes[3] = {blue, green, red};
            const std::size_t done = fast ? mix_columns_fast(row, columns_, fast, planes) : 0;
            mix_columns(BgrRow{row}, columns_, done, out);
            break;
        }
        case Format::Rgb: {
            std::uint16_t* const planes[3] = {red, green, blue};
            const std::size_t done = fast ? mix_columns_fast(row, columns_, fast, planes) : 0;
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

void Resampler::run(const Image& image, float* const planes[model::kChannels],
                    const Fit& fit) {
    prepare(image, fit);
    for (std::size_t y = 0; y < rows_.first.size(); ++y) {
        const Row& top = row_at(image, rows_.first[y], nullptr);
        const Row& bottom = row_at(image, rows_.second[y], &top);
        for (int channel = 0; channel < model::kChannels; ++channel) {
            const std::ptrdiff_t offset = static_cast<std::ptrdiff_t>(channel) * kWidth;
            mix_rows(top.data() + offset, bottom.data() + offset, &rows_.weights[2 * y], channel,
                     fit.columns, planes[channel] + y * kWidth);
        }
    }
    for (int channel = 0; channel < model::kChannels; ++channel) pad(planes[channel], channel, fit);
}

}  // namespace ultraface

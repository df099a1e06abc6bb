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

Taps make_taps(const Axis& axis, int source, int target, AtBorder at_border) {
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
        taps.first.push_back(axis[std::clamp(first, 0, source - 1)]);
        taps.second.push_back(axis[std::clamp(first + 1, 0, source - 1)]);
    }
    return taps;
}

struct Rgb {
    int red, green, blue;

    // OpenCV's gray (cvtColor, COLOR_BGR2GRAY), in 15-bit fixed point.
    int gray() const { return (red * 9798 + green * 19235 + blue * 3735 + (1 << 14)) >> 15; }
};

// Rows of pixels by their places. The numbers say which byte of a pixel is which colour.
template <int kRedByte, int kGreenByte, int kBlueByte>
struct PackedRow {
    static constexpr bool kFirstIsRed = kRedByte == 0;

    const std::uint8_t* row;
    Rgb operator[](const Place& place) const {
        const std::uint8_t* const pixel = row + place.pixel;
        return {pixel[kRedByte], pixel[kGreenByte], pixel[kBlueByte]};
    }
};

// ITU-R BT.601 with video range, in OpenCV's 20-bit fixed point (cvtColor, COLOR_YUV2BGR_NV21).
struct YuvRow {
    const std::uint8_t *luma, *chroma_u, *chroma_v;
    Rgb operator[](const Place& place) const {
        constexpr int kBits = 20, kHalf = 1 << (kBits - 1);
        const int y = std::max(luma[place.pixel] - 16, 0) * 1220542;
        const int v = chroma_v[place.chroma] - 128, u = chroma_u[place.chroma] - 128;
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

// The same with vector instructions for pixels of three or four bytes, where one load of eight
// brings both pixels of a tap. Writes the first, second and third byte to their planes, for at most
// `count` taps; returns how many it did.
#if defined(__aarch64__)
template <int kBytes>
std::size_t mix_columns_fast(const std::uint8_t* row, const Taps& taps, std::size_t count,
                             std::uint16_t* const out[3]) {
    // Lanes of 16 bits with the first pixels of two taps, and the second ones; 255 makes a zero.
    constexpr std::uint8_t kZero = 255;
    static const std::uint8_t kFirst[16] = {0, kZero, 1, kZero, 2,  kZero, kZero, kZero,
                                            8, kZero, 9, kZero, 10, kZero, kZero, kZero};
    static const std::uint8_t kSecond[16] = {
        kBytes,     kZero, kBytes + 1, kZero, kBytes + 2,  kZero, kZero, kZero,
        kBytes + 8, kZero, kBytes + 9, kZero, kBytes + 10, kZero, kZero, kZero};
    const uint8x16_t pick_first = vld1q_u8(kFirst), pick_second = vld1q_u8(kSecond);
    // Copies, because the compiler must assume that a store through `out` changes the originals.
    const Place* const positions = taps.first.data();
    const std::uint16_t* const all_weights = taps.weights.data();
    std::uint16_t *const plane0 = out[0], *const plane1 = out[1], *const plane2 = out[2];
    const auto mix_two = [&](std::size_t i) {
        const uint8x16_t bytes =
            vcombine_u8(vld1_u8(row + positions[i].pixel), vld1_u8(row + positions[i + 1].pixel));
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
template <int kBytes>
std::size_t mix_columns_fast(const std::uint8_t* row, const Taps& taps, std::size_t count,
                             std::uint16_t* const out[3]) {
    for (std::size_t i = 0; i < count; ++i) {
        const auto* both = reinterpret_cast<const __m128i*>(row + taps.first[i].pixel);
        const __m128i pixels = _mm_unpacklo_epi8(_mm_loadl_epi64(both), _mm_setzero_si128());
        const __m128i pairs = _mm_unpacklo_epi16(pixels, _mm_srli_si128(pixels, 2 * kBytes));
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
template <int kBytes>
std::size_t mix_columns_fast(const std::uint8_t*, const Taps&, std::size_t,
                             std::uint16_t* const[3]) {
    return 0;
}
#endif

// `safe` taps may be read by eight bytes at once.
template <int kBytes, typename Pixels>
void mix_packed(const std::uint8_t* row, const Taps& taps, std::size_t safe, std::uint16_t* out) {
    std::size_t done = 0;
    if (kColor != Color::Gray && safe > 0) {
        constexpr std::size_t kFirst = Pixels::kFirstIsRed ? kRed : kBlue;
        std::uint16_t* const planes[3] = {out + kFirst * kWidth, out + kWidth,
                                          out + (2 - kFirst) * kWidth};
        done = mix_columns_fast<kBytes>(row, taps, safe, planes);
    }
    mix_columns(Pixels{row}, taps, done, out);
}

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

void Resampler::prepare(const Layout& layout, const Fit& fit) {
    const bool same = layout.same_places(layout_) && fit.columns == fit_.columns &&
                      fit.rows == fit_.rows;
    layout_ = layout;
    std::fill(std::begin(cached_), std::end(cached_), kNothing);
    if (same) return;
    fit_ = fit;
    columns_ = make_taps(layout.columns, layout.width, fit.columns, AtBorder::Once);
    rows_ = make_taps(layout.rows, layout.height, fit.rows, AtBorder::Twice);
    safe_columns_ = 0;
    if (layout.columns.direction == 1 && layout.columns.pixel_step == layout.pixel_bytes) {
        const std::ptrdiff_t end = layout.columns[layout.width - 1].pixel + layout.pixel_bytes;
        const auto is_safe = [end](const Place& place) { return place.pixel + 8 <= end; };
        safe_columns_ = static_cast<std::size_t>(
            std::partition_point(columns_.first.begin(), columns_.first.end(), is_safe) -
            columns_.first.begin());
    }
    for (Row& row : cache_) row.resize(3 * static_cast<std::size_t>(kWidth));
}

// Return one source row at the output's width. Neighbouring output rows share source rows, so the
// last two are kept; `keep` is the one that must not be overwritten.
const Resampler::Row& Resampler::row_at(const Place& place, const Row* keep) {
    for (int slot = 0; slot < 2; ++slot) {
        if (cached_[slot] == place.pixel) return cache_[slot];
    }
    const int slot = keep == &cache_[0] ? 1 : 0;
    cached_[slot] = place.pixel;
    std::uint16_t* const out = cache_[slot].data();
    const std::uint8_t* const row = layout_.pixels + place.pixel;
    switch (layout_.format) {
        case Format::Bgr: mix_packed<3, PackedRow<2, 1, 0>>(row, columns_, safe_columns_, out); break;
        case Format::Rgb: mix_packed<3, PackedRow<0, 1, 2>>(row, columns_, safe_columns_, out); break;
        case Format::Bgra: mix_packed<4, PackedRow<2, 1, 0>>(row, columns_, safe_columns_, out); break;
        case Format::Rgba: mix_packed<4, PackedRow<0, 1, 2>>(row, columns_, safe_columns_, out); break;
        case Format::Gray: mix_columns(PackedRow<0, 0, 0>{row}, columns_, 0, out); break;
        default:
            mix_columns(YuvRow{row, layout_.u + place.chroma, layout_.v + place.chroma}, columns_, 0,
                        out);
    }
    return cache_[slot];
}

void Resampler::run(const Layout& layout, float* const planes[model::kChannels], const Fit& fit) {
    prepare(layout, fit);
    for (std::size_t y = 0; y < rows_.first.size(); ++y) {
        const Row& top = row_at(rows_.first[y], nullptr);
        const Row& bottom = row_at(rows_.second[y], &top);
        for (int channel = 0; channel < model::kChannels; ++channel) {
            const std::ptrdiff_t offset = static_cast<std::ptrdiff_t>(channel) * kWidth;
            mix_rows(top.data() + offset, bottom.data() + offset, &rows_.weights[2 * y], channel,
                     fit.columns, planes[channel] + y * kWidth);
        }
    }
    for (int channel = 0; channel < model::kChannels; ++channel) pad(planes[channel], channel, fit);
}

}  // namespace ultraface

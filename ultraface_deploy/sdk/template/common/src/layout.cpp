#include "layout.hpp"

#include <limits>
#include <string>

namespace ultraface {
namespace {

constexpr int kMaxSide = 32767;

Error invalid(const std::string& message) { return {ULTRAFACE_INVALID_ARGUMENT, message}; }

std::string size_text(int width, int height) {
    return std::to_string(width) + "x" + std::to_string(height);
}

bool is_yuv(Format format) {
    return format == Format::Nv21 || format == Format::Nv12 || format == Format::I420;
}

int bytes_per_pixel(Format format) {
    switch (format) {
        case Format::Bgr:
        case Format::Rgb: return 3;
        case Format::Rgba:
        case Format::Bgra: return 4;
        default: return 1;
    }
}

void check_size(const Image& image) {
    if (image.format < Format::Bgr || image.format > Format::I420) {
        throw invalid("format " + std::to_string(static_cast<int>(image.format)) +
                      " is unknown; ultraface.h lists them");
    }
    const std::string size = size_text(image.width, image.height);
    if (image.width < 1 || image.height < 1 || image.width > kMaxSide ||
        image.height > kMaxSide) {
        throw invalid("an image of " + size + " pixels; each side must lie in 1.." +
                      std::to_string(kMaxSide));
    }
    if (is_yuv(image.format) && (image.width % 2 || image.height % 2)) {
        throw invalid("a YUV image of " + size + " pixels; both sides must be even");
    }
    if (image.rotation != 0 && image.rotation != 90 && image.rotation != 180 &&
        image.rotation != 270) {
        throw invalid("a rotation of " + std::to_string(image.rotation) +
                      " degrees; give 0, 90, 180 or 270");
    }
}

// Return the bytes from row to row. `row` is what a row needs.
int stride_of(int stride, int row, const char* name) {
    if (stride != 0 && stride < row) {
        throw invalid(std::string("a ") + name + " of " + std::to_string(stride) +
                      " bytes; a row has " + std::to_string(row));
    }
    return stride ? stride : row;
}

// A plane need not end with the gap of its last row.
std::uint64_t plane_bytes(int rows, int stride, int row) {
    return static_cast<std::uint64_t>(rows - 1) * static_cast<std::uint64_t>(stride) +
           static_cast<std::uint64_t>(row);
}

void check_buffer(const std::uint8_t* data, std::size_t bytes, std::uint64_t needed,
                  const char* name) {
    if (!data) throw invalid(std::string(name) + " is a null pointer");
    const auto most = static_cast<std::uint64_t>(std::numeric_limits<std::ptrdiff_t>::max());
    if (bytes < needed || needed > most) {
        throw invalid(std::string(name) + " has " + std::to_string(bytes) +
                      " bytes; the image needs " + std::to_string(needed));
    }
}

struct Chroma {
    const std::uint8_t *u, *v;
    int stride;
};

// Find the chroma of a YUV image, and check that all its planes are there.
Chroma find_chroma(const Image& image, int stride) {
    const bool planar = image.format == Format::I420;
    const int row = planar ? image.width / 2 : image.width, rows = image.height / 2;
    const bool apart = image.chroma[0] || image.chroma[1];
    const int chroma_stride = apart ? stride_of(image.chroma_stride, row, "chroma_stride")
                                    : stride / (planar ? 2 : 1);
    const std::uint64_t plane = plane_bytes(rows, chroma_stride, row);
    const std::uint8_t *first = image.chroma[0], *second = image.chroma[1];
    if (apart) {
        check_buffer(first, image.chroma_bytes[0], plane, "chroma[0]");
        if (planar) check_buffer(second, image.chroma_bytes[1], plane, "chroma[1]");
    } else {
        const auto luma = static_cast<std::uint64_t>(stride) *
                          static_cast<std::uint64_t>(image.height);
        const auto one = static_cast<std::uint64_t>(chroma_stride) *
                         static_cast<std::uint64_t>(rows);
        check_buffer(image.pixels, image.bytes, luma + (planar ? one : 0) + plane, "pixels");
        first = image.pixels + luma;
        second = first + one;
    }
    if (planar) return {first, second, chroma_stride};
    if (image.format == Format::Nv12) return {first, first + 1, chroma_stride};
    return {first + 1, first, chroma_stride};
}

Region region_of(const Image& image, int width, int height) {
    const Region& region = image.region;
    if (region.x == 0 && region.y == 0 && region.width == 0 && region.height == 0) {
        return {0, 0, width, height};
    }
    // Compared by subtraction: a sum might overflow.
    if (region.x < 0 || region.y < 0 || region.width < 1 || region.height < 1 ||
        region.width > width || region.height > height || region.x > width - region.width ||
        region.y > height - region.height) {
        throw invalid("the region " + std::to_string(region.x) + "," + std::to_string(region.y) +
                      "," + size_text(region.width, region.height) +
                      " does not lie within the upright picture of " + size_text(width, height));
    }
    return region;
}

// Let an axis of `length` pixels start at `offset` and run as memory does, or backwards.
void direct(Axis& axis, int length, int offset, bool backwards) {
    axis.start = backwards ? length - 1 - offset : offset;
    axis.direction = backwards ? -1 : 1;
}

}  // namespace

Layout::Layout(const Image& image)
    : format(image.format), pixel_bytes(bytes_per_pixel(image.format)), pixels(image.pixels) {
    check_size(image);
    const int row = image.width * pixel_bytes;
    const int stride = stride_of(image.stride, row, "stride");
    check_buffer(pixels, image.bytes, plane_bytes(image.height, stride, row), "pixels");
    Axis across{0, 1, pixel_bytes, 0}, down{0, 1, stride, 0};
    if (is_yuv(format)) {
        const Chroma chroma = find_chroma(image, stride);
        across.chroma_step = format == Format::I420 ? 1 : 2;
        down.chroma_step = chroma.stride;
        u = chroma.u;
        v = chroma.v;
    }

    const bool sideways = image.rotation == 90 || image.rotation == 270;
    const int upright_width = sideways ? image.height : image.width;
    const int upright_height = sideways ? image.width : image.height;
    const Region region = region_of(image, upright_width, upright_height);
    width = region.width;
    height = region.height;
    columns = sideways ? down : across;
    rows = sideways ? across : down;
    const bool leftwards = image.rotation == 90 || image.rotation == 180;
    direct(columns, upright_width, region.x, leftwards != image.mirrored);
    direct(rows, upright_height, region.y, image.rotation == 180 || image.rotation == 270);
}

}  // namespace ultraface

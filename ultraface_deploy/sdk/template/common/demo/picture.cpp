#include "picture.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>

#ifdef HAVE_JPEG
#include <jpeglib.h>

#include <csetjmp>
#endif
#ifdef HAVE_PNG
#include <png.h>
#endif

namespace {

constexpr long kMaxSide = 32767;

struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Closer>;
using Content = std::vector<std::uint8_t>;

Content read_file(const std::string& path) {
    const File file(std::fopen(path.c_str(), "rb"));
    if (!file) throw std::runtime_error("cannot open it");
    Content content;
    std::uint8_t block[65536];
    while (const std::size_t count = std::fread(block, 1, sizeof(block), file.get())) {
        content.insert(content.end(), block, block + count);
    }
    return content;
}

bool starts_with(const Content& content, const char* magic) {
    const std::size_t length = std::strlen(magic);
    return content.size() >= length && std::memcmp(content.data(), magic, length) == 0;
}

Picture new_picture(long width, long height) {
    if (width < 1 || height < 1 || width > kMaxSide || height > kMaxSide) {
        throw std::runtime_error("its size is out of range");
    }
    return {static_cast<int>(width), static_cast<int>(height)};
}

// The next number of a PNM header, behind white space and comments.
long next_number(const Content& content, std::size_t& at) {
    while (at < content.size() && (std::isspace(content[at]) || content[at] == '#')) {
        if (content[at] == '#') {
            while (at < content.size() && content[at] != '\n') ++at;
        } else {
            ++at;
        }
    }
    long value = -1;
    for (; at < content.size() && std::isdigit(content[at]); ++at) {
        value = std::min(std::max(value, 0L) * 10 + (content[at] - '0'), kMaxSide + 1);
    }
    return value;
}

Picture read_pnm(const Content& content) {
    const bool color = content[1] == '6';
    std::size_t at = 2;
    const long width = next_number(content, at), height = next_number(content, at);
    if (next_number(content, at) != 255) throw std::runtime_error("it is not an 8-bit PPM or PGM");
    ++at;  // the one white space before the samples
    Picture picture = new_picture(width, height);
    const std::size_t samples = color ? picture.rgb.size() : picture.rgb.size() / 3;
    if (content.size() < at || content.size() - at < samples) {
        throw std::runtime_error("it ends early");
    }
    for (std::size_t i = 0; i < picture.rgb.size(); ++i) {
        picture.rgb[i] = content[at + (color ? i : i / 3)];
    }
    return picture;
}

std::int32_t little_endian(const Content& content, std::size_t at) {
    return static_cast<std::int32_t>(
        content[at] | content[at + 1] << 8 | content[at + 2] << 16 |
        static_cast<std::uint32_t>(content[at + 3]) << 24);
}

// Uncompressed 24- and 32-bit BMP, which is what cameras and image editors write.
Picture read_bmp(const Content& content) {
    if (content.size() < 54) throw std::runtime_error("it ends early");
    const auto offset = static_cast<std::uint32_t>(little_endian(content, 10));
    const std::int32_t height = little_endian(content, 22);
    const int bits = content[28] | content[29] << 8;
    const std::int32_t compression = little_endian(content, 30);
    const bool masks = bits == 32 && compression == 3;
    if ((bits != 24 && bits != 32) || (compression != 0 && !masks)) {
        throw std::runtime_error("only uncompressed 24- and 32-bit BMP files are supported");
    }
    // A negative height means that the first row is the topmost.
    Picture picture = new_picture(little_endian(content, 18), std::abs(static_cast<long>(height)));
    const auto bytes = static_cast<std::size_t>(bits / 8);
    const auto columns = static_cast<std::size_t>(picture.width);
    const std::size_t stride = (columns * bytes + 3) / 4 * 4;
    if (content.size() < offset ||
        content.size() - offset < stride * static_cast<std::size_t>(picture.height)) {
        throw std::runtime_error("it ends early");
    }
    for (int y = 0; y < picture.height; ++y) {
        const int row = height < 0 ? y : picture.height - 1 - y;
        const std::uint8_t* from = content.data() + offset + stride * static_cast<std::size_t>(row);
        for (int x = 0; x < picture.width; ++x, from += bytes) {
            std::reverse_copy(from, from + 3, picture.pixel(x, y));
        }
    }
    return picture;
}

#ifdef HAVE_JPEG
struct JpegError {
    jpeg_error_mgr manager;
    std::jmp_buf target;
};

[[noreturn]] void leave_jpeg(j_common_ptr info) {
    std::longjmp(reinterpret_cast<JpegError*>(info->err)->target, 1);
}

// libjpeg reports errors by a call that must not return: nothing with a destructor may be created
// between setjmp and the jump.
bool decode_jpeg(const Content& content, Picture& picture) {
    jpeg_decompress_struct info;
    JpegError error;
    info.err = jpeg_std_error(&error.manager);
    error.manager.error_exit = leave_jpeg;
    error.manager.emit_message = [](j_common_ptr, int) {};
    if (setjmp(error.target)) {
        jpeg_destroy_decompress(&info);
        return false;
    }
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, content.data(), static_cast<unsigned long>(content.size()));
    jpeg_read_header(&info, TRUE);
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    if (info.output_width > kMaxSide || info.output_height > kMaxSide) {
        jpeg_destroy_decompress(&info);
        return false;
    }
    picture = Picture(static_cast<int>(info.output_width), static_cast<int>(info.output_height));
    while (info.output_scanline < info.output_height) {
        JSAMPROW row = picture.pixel(0, static_cast<int>(info.output_scanline));
        jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    return true;
}

Picture read_jpeg(const Content& content) {
    Picture picture;
    if (!decode_jpeg(content, picture)) throw std::runtime_error("it is a damaged JPEG");
    return picture;
}
#endif

#ifdef HAVE_PNG
Picture read_png(const Content& content) {
    png_image info{};
    info.version = PNG_IMAGE_VERSION;
    if (!png_image_begin_read_from_memory(&info, content.data(), content.size())) {
        throw std::runtime_error("it is a damaged PNG");
    }
    info.format = PNG_FORMAT_RGB;
    Picture picture = new_picture(static_cast<long>(info.width), static_cast<long>(info.height));
    const png_color black{0, 0, 0};
    if (!png_image_finish_read(&info, &black, picture.rgb.data(), 0, nullptr)) {
        throw std::runtime_error("it is a damaged PNG");
    }
    return picture;
}
#endif

Picture decode(const Content& content) {
    if (starts_with(content, "P5") || starts_with(content, "P6")) return read_pnm(content);
    if (starts_with(content, "BM")) return read_bmp(content);
#ifdef HAVE_JPEG
    if (starts_with(content, "\xFF\xD8\xFF")) return read_jpeg(content);
#endif
#ifdef HAVE_PNG
    if (starts_with(content, "\x89PNG")) return read_png(content);
#endif
    throw std::runtime_error(
        "it is not a picture that this build reads: PPM, PGM, BMP"
#ifdef HAVE_JPEG
        ", JPEG"
#endif
#ifdef HAVE_PNG
        ", PNG"
#endif
    );
}

Content encode_ppm(const Picture& picture) {
    const std::string header = "P6\n" + std::to_string(picture.width) + " " +
                               std::to_string(picture.height) + "\n255\n";
    Content content(header.begin(), header.end());
    content.insert(content.end(), picture.rgb.begin(), picture.rgb.end());
    return content;
}

Content encode_bmp(Picture picture) {
    const std::size_t row = static_cast<std::size_t>(picture.width) * 3, stride = (row + 3) / 4 * 4;
    const std::size_t pixels = stride * static_cast<std::size_t>(picture.height);
    Content content(54 + pixels);
    const auto put = [&](std::size_t at, std::size_t value, int bytes) {
        for (int i = 0; i < bytes; ++i) {
            content[at++] = static_cast<std::uint8_t>(value >> 8 * i & 255);
        }
    };
    content[0] = 'B';
    content[1] = 'M';
    put(2, content.size(), 4);
    put(10, 54, 4);
    put(14, 40, 4);
    put(18, static_cast<std::size_t>(picture.width), 4);
    put(22, static_cast<std::size_t>(picture.height), 4);
    put(26, 1, 2);
    put(28, 24, 2);
    put(34, pixels, 4);
    for (int y = 0; y < picture.height; ++y) {
        std::uint8_t* to = content.data() + 54 + stride * static_cast<std::size_t>(y);
        for (int x = 0; x < picture.width; ++x, to += 3) {
            const std::uint8_t* from = picture.pixel(x, picture.height - 1 - y);
            std::reverse_copy(from, from + 3, to);
        }
    }
    return content;
}

// The pixel of a side that lies nearest to a coordinate; 0 for NaN.
int nearest(float coordinate, int side) {
    const double inside = coordinate > 0.0F ? std::min<double>(coordinate, side - 1) : 0.0;
    return static_cast<int>(std::lround(inside));
}

}  // namespace

Picture read_picture(const std::string& path) {
    try {
        return decode(read_file(path));
    } catch (const std::runtime_error& error) {
        throw std::runtime_error(path + ": cannot read the picture, " + error.what());
    }
}

void write_picture(const Picture& picture, const std::string& path) {
    const std::string suffix = path.size() < 4 ? "" : path.substr(path.size() - 4);
    if (suffix != ".ppm" && suffix != ".bmp") {
        throw std::runtime_error(path + ": pictures are written as .ppm or .bmp");
    }
    const Content content = suffix == ".ppm" ? encode_ppm(picture) : encode_bmp(picture);
    File file(std::fopen(path.c_str(), "wb"));
    const bool written =
        file && std::fwrite(content.data(), 1, content.size(), file.get()) == content.size();
    if (!written || std::fclose(file.release()) != 0) {
        throw std::runtime_error(path + ": cannot write the picture");
    }
}

void mark(Picture& picture, const std::vector<ultraface::Face>& faces) {
    constexpr std::uint8_t kGreen[3] = {0, 255, 0};
    constexpr int kThickness = 2;
    for (const ultraface::Face& face : faces) {
        const int left = nearest(face.x1, picture.width), right = nearest(face.x2, picture.width);
        const int top = nearest(face.y1, picture.height);
        const int bottom = nearest(face.y2, picture.height);
        for (int y = top; y <= bottom; ++y) {
            for (int x = left; x <= right; ++x) {
                const int depth = std::min({x - left, right - x, y - top, bottom - y});
                if (depth < kThickness) std::copy_n(kGreen, 3, picture.pixel(x, y));
            }
        }
    }
}

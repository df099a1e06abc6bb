#include "camera.hpp"

#include <fcntl.h>
#include <linux/videodev2.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

void yuyv_to_nv21(const std::uint8_t* yuyv, int width, int height, std::size_t stride,
                  std::uint8_t* nv21) {
    std::uint8_t* luma = nv21;
    std::uint8_t* chroma = nv21 + static_cast<std::ptrdiff_t>(width) * height;
    for (int y = 0; y < height; ++y) {
        const std::uint8_t* row = yuyv + static_cast<std::size_t>(y) * stride;
        for (int x = 0; x < width; ++x) *luma++ = row[2 * x];
        if (y % 2) continue;
        const std::uint8_t* below = row + stride;
        for (int x = 0; x < width; x += 2) {
            *chroma++ = static_cast<std::uint8_t>((row[2 * x + 3] + below[2 * x + 3] + 1) / 2);
            *chroma++ = static_cast<std::uint8_t>((row[2 * x + 1] + below[2 * x + 1] + 1) / 2);
        }
    }
}

Camera::Camera(const std::string& device)
    : device_(device), descriptor_(open(device.c_str(), O_RDWR | O_CLOEXEC)) {
    if (descriptor_ < 0) fail("cannot open the camera");
    try {
        open_stream();
    } catch (...) {
        close_stream();
        throw;
    }
}

Camera::~Camera() { close_stream(); }

void Camera::open_stream() {
    v4l2_format format{};
    format.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    format.fmt.pix.width = 640;
    format.fmt.pix.height = 480;
    format.fmt.pix.pixelformat = V4L2_PIX_FMT_YUYV;
    format.fmt.pix.field = V4L2_FIELD_ANY;
    control(VIDIOC_S_FMT, &format, "is not a camera");
    // A driver may answer with another format or size than it was asked for.
    if (format.fmt.pix.pixelformat != V4L2_PIX_FMT_YUYV || format.fmt.pix.width % 2 ||
        format.fmt.pix.height % 2 || format.fmt.pix.bytesperline < 2 * format.fmt.pix.width) {
        throw std::runtime_error(device_ + ": gives no YUYV pictures of even size");
    }
    width_ = static_cast<int>(format.fmt.pix.width);
    height_ = static_cast<int>(format.fmt.pix.height);
    stride_ = format.fmt.pix.bytesperline;
    frame_.resize(static_cast<std::size_t>(width_) * static_cast<std::size_t>(height_) * 3 / 2);

    v4l2_requestbuffers request{};
    request.count = 4;
    request.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    request.memory = V4L2_MEMORY_MMAP;
    control(VIDIOC_REQBUFS, &request, "cannot share memory");
    for (unsigned i = 0; i < request.count; ++i) {
        v4l2_buffer buffer{};
        buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
        buffer.memory = V4L2_MEMORY_MMAP;
        buffer.index = i;
        control(VIDIOC_QUERYBUF, &buffer, "cannot share memory");
        void* start = mmap(nullptr, buffer.length, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_,
                           static_cast<off_t>(buffer.m.offset));
        if (start == MAP_FAILED) fail("cannot share memory");
        buffers_.push_back({start, buffer.length});
        control(VIDIOC_QBUF, &buffer, "cannot queue a frame");
    }
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    control(VIDIOC_STREAMON, &type, "cannot start");
}

// Closing the descriptor also stops the stream.
void Camera::close_stream() {
    for (const Buffer& buffer : buffers_) munmap(buffer.start, buffer.length);
    buffers_.clear();
    if (descriptor_ >= 0) close(descriptor_);
    descriptor_ = -1;
}

ultraface::Image Camera::next() {
    v4l2_buffer buffer{};
    buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    buffer.memory = V4L2_MEMORY_MMAP;
    control(VIDIOC_DQBUF, &buffer, "gives no frame");
    const Buffer& filled = buffers_.at(buffer.index);
    if (filled.length >= stride_ * static_cast<std::size_t>(height_)) {
        yuyv_to_nv21(static_cast<const std::uint8_t*>(filled.start), width_, height_, stride_,
                     frame_.data());
    }
    control(VIDIOC_QBUF, &buffer, "cannot queue a frame");
    return {frame_.data(), width_, height_, 0, ultraface::Format::Nv21};
}

void Camera::control(unsigned long request, void* argument, const char* what) {
    int status = 0;
    do {
        status = ioctl(descriptor_, request, argument);
    } while (status < 0 && errno == EINTR);
    if (status < 0) fail(what);
}

void Camera::fail(const char* what) const {
    throw std::runtime_error(device_ + ": " + what + " (" + std::strerror(errno) + ")");
}

package ultraface;

/** How pixels lie in memory; see ultraface_format in ultraface.h, which has the same order. */
public enum PixelFormat {
    BGR, RGB, GRAY, NV21, RGBA, BGRA, NV12, I420
}

package ultraface;

import java.nio.ByteBuffer;

/** Pixels, and how they are to be looked at. They are read where they lie, from a direct buffer. */
public final class Picture {
    final ByteBuffer pixels;
    final int width;
    final int height;
    final PixelFormat format;
    int stride;
    int rotation;
    boolean mirrored;
    int[] region = new int[4];

    private Picture(ByteBuffer pixels, int width, int height, PixelFormat format) {
        if (pixels == null || format == null) {
            throw new UltraFaceException(
                    UltraFaceException.INVALID_ARGUMENT,
                    (pixels == null ? "pixels" : "format") + " is null");
        }
        this.pixels = pixels;
        this.width = width;
        this.height = height;
        this.format = format;
    }

    /** A picture of what remains of a buffer, whose position stays. */
    public static Picture of(ByteBuffer pixels, int width, int height, PixelFormat format) {
        return new Picture(pixels, width, height, format);
    }

    /** A picture of an array. */
    public static Picture of(byte[] pixels, int width, int height, PixelFormat format) {
        return of(pixels == null ? null : ByteBuffer.wrap(pixels), width, height, format);
    }

    /** Bytes from row to row; 0 for rows without gaps. */
    public Picture stride(int bytes) {
        stride = bytes;
        return this;
    }

    /** Degrees clockwise that turn it upright: 0, 90, 180 or 270. */
    public Picture rotation(int degrees) {
        rotation = degrees;
        return this;
    }

    /** Whether it is then mirrored from left to right. */
    public Picture mirrored(boolean value) {
        mirrored = value;
        return this;
    }

    /** The part of the upright picture to look at. */
    public Picture region(int x, int y, int width, int height) {
        region = new int[] {x, y, width, height};
        return this;
    }
}

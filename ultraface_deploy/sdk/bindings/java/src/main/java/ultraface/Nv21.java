package ultraface;

import java.nio.ByteBuffer;

/** NV21 from the three planes of Android's YUV_420_888, whatever lies between their samples. */
public final class Nv21 {
    private Nv21() {}

    /** One plane: its buffer, bytes from row to row and from sample to sample. */
    public static final class Plane {
        private final ByteBuffer buffer;
        private final int rowStride;
        private final int pixelStride;

        public Plane(ByteBuffer buffer, int rowStride, int pixelStride) {
            this.buffer = buffer;
            this.rowStride = rowStride;
            this.pixelStride = pixelStride;
        }

        private void copy(int width, int height, ByteBuffer out, int at, int step) {
            int start = buffer.position();
            for (int y = 0; y < height; ++y) {
                for (int x = 0; x < width; ++x, at += step) {
                    out.put(at, buffer.get(start + y * rowStride + x * pixelStride));
                }
            }
        }
    }

    /**
     * Pack planes into a direct buffer of width * height * 3 / 2 bytes.
     *
     * @param reuse what an earlier call returned, or null
     */
    public static ByteBuffer pack(
            int width, int height, Plane y, Plane u, Plane v, ByteBuffer reuse) {
        int bytes = width * height * 3 / 2;
        ByteBuffer out =
                reuse != null && reuse.capacity() == bytes ? reuse : ByteBuffer.allocateDirect(bytes);
        y.copy(width, height, out, 0, 1);
        v.copy(width / 2, height / 2, out, width * height, 2);
        u.copy(width / 2, height / 2, out, width * height + 1, 2);
        return out;
    }
}

package ultraface;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.locks.ReadWriteLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * A loaded model. Threads may share one, but then wait for each other: open one a thread to use
 * all cores.
 */
public final class Detector implements AutoCloseable {
    private static final int FIELDS = 6;

    static {
        System.loadLibrary("ultraface_jni");
    }

    // Many may detect, but nobody while it is closed.
    private final ReadWriteLock use = new ReentrantReadWriteLock();
    private long handle;

    /** Load the model inside the library with default options. */
    public Detector() {
        this(new Options());
    }

    /** Load the model inside the library and prove that it runs. */
    public Detector(Options options) {
        this(options, null);
    }

    /**
     * Load a model and prove that it runs.
     *
     * @param modelFolder null for the model inside the library
     * @throws UltraFaceException the library refuses the options or the model
     */
    public Detector(Options options, String modelFolder) {
        handle =
                create(
                        modelFolder,
                        options.scoreThreshold,
                        options.iouThreshold,
                        options.nms,
                        options.candidates,
                        options.topK,
                        options.threads,
                        options.keepAspect);
    }

    /**
     * Find the faces of one picture, best first.
     *
     * @throws UltraFaceException the library refuses the picture or failed
     * @throws IllegalStateException the detector is closed
     */
    public List<Face> detect(Picture picture) {
        if (picture == null) {
            throw new UltraFaceException(UltraFaceException.INVALID_ARGUMENT, "picture is null");
        }
        ByteBuffer pixels = picture.pixels;
        byte[] array = pixels.isDirect() ? null : arrayOf(pixels);
        float[] found;
        use.readLock().lock();
        try {
            if (handle == 0) {
                throw new IllegalStateException("the detector is closed");
            }
            found =
                    detect(
                            handle,
                            array == null ? pixels : null,
                            array,
                            array == null ? pixels.position() : 0,
                            pixels.remaining(),
                            picture.format.ordinal(),
                            picture.width,
                            picture.height,
                            picture.stride,
                            picture.rotation,
                            picture.mirrored,
                            picture.region);
        } finally {
            use.readLock().unlock();
        }
        List<Face> faces = new ArrayList<>(found.length / FIELDS);
        for (int i = 0; i < found.length; i += FIELDS) {
            faces.add(
                    new Face(
                            found[i],
                            found[i + 1],
                            found[i + 2],
                            found[i + 3],
                            found[i + 4],
                            (int) found[i + 5]));
        }
        return Collections.unmodifiableList(faces);
    }

    /** What the class of a label is called; null where the network does not say. */
    public static String className(int label) {
        byte[] name = nameOf(label);
        return name == null ? null : new String(name, StandardCharsets.UTF_8);
    }

    /** Free the model, once no other thread is using it. */
    @Override
    public void close() {
        use.writeLock().lock();
        try {
            destroy(handle);
            handle = 0;
        } finally {
            use.writeLock().unlock();
        }
    }

    /** A read-only buffer hides its array, and a slice has more in it than its own. */
    private static byte[] arrayOf(ByteBuffer pixels) {
        if (pixels.hasArray() && pixels.array().length == pixels.remaining()) {
            return pixels.array();
        }
        byte[] copy = new byte[pixels.remaining()];
        pixels.duplicate().get(copy);
        return copy;
    }

    private static native long create(
            String modelFolder,
            float scoreThreshold,
            float iouThreshold,
            int nms,
            int candidates,
            int topK,
            int threads,
            boolean keepAspect);

    private static native float[] detect(
            long handle,
            ByteBuffer direct,
            byte[] array,
            int offset,
            int bytes,
            int format,
            int width,
            int height,
            int stride,
            int rotation,
            boolean mirrored,
            int[] region);

    private static native byte[] nameOf(int label);

    private static native void destroy(long handle);
}

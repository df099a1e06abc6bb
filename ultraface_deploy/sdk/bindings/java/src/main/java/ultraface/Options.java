package ultraface;

/** How a detector works; what is not set keeps the library's default. */
public final class Options {
    float scoreThreshold = Float.NaN;
    float iouThreshold = Float.NaN;
    int nms = -1;
    int candidates = -1;
    int topK = -1;
    int threads = -1;
    boolean keepAspect;

    /** Faces score above it, 0..1. */
    public Options scoreThreshold(float value) {
        scoreThreshold = set("scoreThreshold", value);
        return this;
    }

    /** Overlap above which two boxes are one face, 0..1. */
    public Options iouThreshold(float value) {
        iouThreshold = set("iouThreshold", value);
        return this;
    }

    /** What becomes of boxes that overlap a better one. */
    public Options nms(Nms value) {
        nms = value.ordinal();
        return this;
    }

    /** The best boxes of a class that enter NMS. */
    public Options candidates(int value) {
        candidates = set("candidates", value, 1);
        return this;
    }

    /** Faces kept after it; 0 for all. */
    public Options topK(int value) {
        topK = set("topK", value, 0);
        return this;
    }

    /** Threads of one inference. */
    public Options threads(int value) {
        threads = set("threads", value, 1);
        return this;
    }

    /** Fit the picture into the network's input and pad it. */
    public Options keepAspect(boolean value) {
        keepAspect = value;
        return this;
    }

    private static float set(String name, float value) {
        if (value >= 0 && value <= 1) {
            return value;
        }
        throw refusal(name + " must lie in 0..1");
    }

    private static int set(String name, int value, int least) {
        if (value >= least) {
            return value;
        }
        throw refusal(name + " must be at least " + least);
    }

    private static UltraFaceException refusal(String message) {
        return new UltraFaceException(UltraFaceException.INVALID_ARGUMENT, message);
    }
}

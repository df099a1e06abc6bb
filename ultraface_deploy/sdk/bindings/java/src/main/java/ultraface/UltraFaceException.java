package ultraface;

/** The library refused an argument or failed. */
public final class UltraFaceException extends RuntimeException {
    /** A null, a size, a stride, an option; see ultraface_status in ultraface.h for the others. */
    public static final int INVALID_ARGUMENT = 1;

    private static final long serialVersionUID = 1;

    private final int status;

    UltraFaceException(int status, String message) {
        super(message);
        this.status = status;
    }

    /** One of ultraface_status in ultraface.h. */
    public int status() {
        return status;
    }
}

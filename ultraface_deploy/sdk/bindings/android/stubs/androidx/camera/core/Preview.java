package androidx.camera.core;

public final class Preview extends UseCase {
    public interface SurfaceProvider {}

    public static final class Builder {
        public Preview build() { return null; }
    }

    public void setSurfaceProvider(SurfaceProvider provider) {}
}

package ultraface.sample;

import androidx.camera.core.ImageAnalysis;
import androidx.camera.core.ImageProxy;
import java.nio.ByteBuffer;
import java.util.List;
import ultraface.Detector;
import ultraface.Face;
import ultraface.Nv21;
import ultraface.Options;
import ultraface.Picture;
import ultraface.PixelFormat;

/** Finds the faces of camera frames as the preview shows them: upright, a front camera mirrored. */
final class FaceAnalyzer implements ImageAnalysis.Analyzer, AutoCloseable {
    /** Called in the analyzer's thread with the size of the upright frame. */
    interface Listener {
        void found(List<Face> faces, int width, int height);
    }

    private final Detector detector = new Detector(new Options().threads(2));
    private final boolean mirrored;
    private final Listener listener;
    private ByteBuffer nv21;

    FaceAnalyzer(boolean mirrored, Listener listener) {
        this.mirrored = mirrored;
        this.listener = listener;
    }

    @Override
    public void analyze(ImageProxy image) {
        try {
            int width = image.getWidth();
            int height = image.getHeight();
            int rotation = image.getImageInfo().getRotationDegrees();
            ImageProxy.PlaneProxy[] planes = image.getPlanes();
            nv21 =
                    Nv21.pack(
                            width, height, of(planes[0]), of(planes[1]), of(planes[2]), nv21);
            List<Face> faces =
                    detector.detect(
                            Picture.of(nv21, width, height, PixelFormat.NV21)
                                    .rotation(rotation)
                                    .mirrored(mirrored));
            boolean sideways = rotation % 180 != 0;
            listener.found(faces, sideways ? height : width, sideways ? width : height);
        } finally {
            image.close();
        }
    }

    @Override
    public void close() {
        detector.close();
    }

    private static Nv21.Plane of(ImageProxy.PlaneProxy plane) {
        return new Nv21.Plane(plane.getBuffer(), plane.getRowStride(), plane.getPixelStride());
    }
}

import java.io.File;
import javax.imageio.ImageIO;
import ultraface.Detector;
import ultraface.Face;
import ultraface.awt.Pictures;

/** Prints the faces of a picture: java Example photo.jpg */
public final class Example {
    public static void main(String[] arguments) throws Exception {
        try (Detector detector = new Detector()) {
            for (Face face : detector.detect(Pictures.of(ImageIO.read(new File(arguments[0]))))) {
                String name = Detector.className(face.label);
                System.out.println(name == null ? face : face + " " + name);
            }
        }
    }
}

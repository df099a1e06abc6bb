import java.awt.image.BufferedImage;
import java.io.File;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.imageio.ImageIO;
import ultraface.Detector;
import ultraface.Face;
import ultraface.Nms;
import ultraface.Nv21;
import ultraface.Options;
import ultraface.Picture;
import ultraface.PixelFormat;
import ultraface.UltraFaceException;
import ultraface.awt.Pictures;

/** The conformance set, threads, memory and errors. */
public final class Test {
    private static final class Case {
        String name;
        byte[] pixels;
        PixelFormat format;
        int[] numbers;
        final List<float[]> faces = new ArrayList<>();

        boolean keepAspect() {
            return numbers[5] == 1;
        }

        Picture picture(ByteBuffer buffer) {
            return Picture.of(buffer, numbers[0], numbers[1], format)
                    .stride(numbers[2])
                    .rotation(numbers[3])
                    .mirrored(numbers[4] == 1)
                    .region(numbers[6], numbers[7], numbers[8], numbers[9]);
        }

        /** From the middle of a larger buffer. */
        Picture direct() {
            ByteBuffer buffer = ByteBuffer.allocateDirect(pixels.length + 2);
            buffer.position(1);
            buffer.put(pixels).flip().position(1);
            return picture(buffer);
        }

        void check(List<Face> found) {
            require(found.size() == faces.size(), name + ": " + found.size() + " faces");
            for (int i = 0; i < faces.size(); ++i) {
                Face face = found.get(i);
                float[] wanted = faces.get(i);
                float[] box = {face.x1, face.y1, face.x2, face.y2};
                for (int side = 0; side < 4; ++side) {
                    require(Math.abs(box[side] - wanted[side]) <= 1, name + ": a box");
                }
                require(Math.abs(face.score - wanted[4]) <= 1e-3, name + ": a score");
                require(face.label == (int) wanted[5], name + ": a label");
            }
        }
    }

    private static void require(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private static List<Case> read(Path folder) throws Exception {
        List<Case> cases = new ArrayList<>();
        for (String line : Files.readAllLines(folder.resolve("cases.txt"))) {
            String[] words = line.split(" ");
            if (words[0].equals("face")) {
                float[] face = new float[6];
                for (int i = 0; i < 6; ++i) {
                    face[i] = Float.parseFloat(words[i + 1]);
                }
                cases.get(cases.size() - 1).faces.add(face);
            } else if (words[0].equals("case")) {
                Case made = new Case();
                made.name = words[1];
                made.pixels = Files.readAllBytes(folder.resolve(words[2]));
                made.format = PixelFormat.valueOf(words[3].toUpperCase(Locale.ROOT));
                made.numbers = new int[10];
                for (int i = 0; i < 10; ++i) {
                    made.numbers[i] = Integer.parseInt(words[i + 4]);
                }
                cases.add(made);
            }
        }
        return cases;
    }

    private static void sameFaces(List<Case> cases) {
        require(cases.size() == 12, "twelve cases");
        for (Case each : cases) {
            try (Detector detector = new Detector(new Options().keepAspect(each.keepAspect()))) {
                each.check(detector.detect(each.picture(ByteBuffer.wrap(each.pixels))));
                each.check(detector.detect(each.direct()));
                ByteBuffer readOnly = ByteBuffer.wrap(each.pixels).asReadOnlyBuffer();
                each.check(detector.detect(each.picture(readOnly)));
            }
        }
    }

    private static void classNames(Path folder) throws Exception {
        int label = 0;
        for (String line : Files.readAllLines(folder.resolve("cases.txt"))) {
            if (line.startsWith("name ")) {
                ++label;
                require(line.equals("name " + label + " " + Detector.className(label)), line);
            }
        }
        for (int nameless : new int[] {-1, 0, label + 1}) {
            require(Detector.className(nameless) == null, "a name of " + nameless);
        }
    }

    private static long residentKilobytes() throws Exception {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmRSS:")) {
                return Long.parseLong(line.replaceAll("\\D", ""));
            }
        }
        throw new AssertionError("no VmRSS");
    }

    private static void keepsNoMemory(Case picture) throws Exception {
        Picture array = picture.picture(ByteBuffer.wrap(picture.pixels));
        Picture direct = picture.direct();
        try (Detector detector = new Detector()) {
            long before = 0;
            for (int count = 0; count < 1500; ++count) {
                if (count == 500) {
                    before = residentKilobytes();
                }
                detector.detect(count % 2 == 0 ? array : direct);
            }
            long grown = residentKilobytes() - before;
            require(grown < 8192, "grew by " + grown + " kB");
        }
    }

    private static void eightThreads(Case picture) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(8);
        try (Detector shared = new Detector()) {
            List<Future<?>> running = new ArrayList<>();
            for (int i = 0; i < 8; ++i) {
                running.add(
                        pool.submit(
                                () -> {
                                    try (Detector own = new Detector()) {
                                        for (int round = 0; round < 10; ++round) {
                                            picture.check(shared.detect(picture.direct()));
                                            picture.check(own.detect(picture.direct()));
                                        }
                                    }
                                }));
            }
            for (Future<?> each : running) {
                each.get();
            }
        } finally {
            pool.shutdown();
        }
    }

    private static void refused(Runnable action) {
        try {
            action.run();
        } catch (UltraFaceException error) {
            require(error.status() == UltraFaceException.INVALID_ARGUMENT, error.getMessage());
            return;
        }
        throw new AssertionError("nothing was refused");
    }

    private static void refusals() {
        byte[] pixels = new byte[3 * 64 * 48];
        byte[] cut = new byte[pixels.length - 1];
        PixelFormat bgr = PixelFormat.BGR;
        Detector detector = new Detector(new Options().threads(2).nms(Nms.BLEND).topK(3));
        refused(() -> detector.detect(null));
        refused(() -> detector.detect(Picture.of((byte[]) null, 64, 48, bgr)));
        refused(() -> detector.detect(Picture.of(new byte[0], 64, 48, bgr)));
        refused(() -> detector.detect(Picture.of(ByteBuffer.allocateDirect(0), 64, 48, bgr)));
        refused(() -> detector.detect(Picture.of(pixels, 0, 48, bgr)));
        refused(() -> detector.detect(Picture.of(pixels, 64, 0, bgr)));
        refused(() -> detector.detect(Picture.of(pixels, 64, 48, null)));
        refused(() -> detector.detect(Picture.of(pixels, 64, 48, bgr).stride(191)));
        refused(() -> detector.detect(Picture.of(cut, 64, 48, bgr)));
        refused(() -> detector.detect(Picture.of(pixels, 64, 48, bgr).rotation(45)));
        refused(() -> detector.detect(Picture.of(pixels, 64, 48, bgr).region(60, 0, 5, 48)));
        refused(() -> new Options().scoreThreshold(2));
        refused(() -> new Detector(new Options().threads(1000)));
        detector.close();
        detector.close();
        try {
            detector.detect(Picture.of(pixels, 64, 48, bgr));
            throw new AssertionError("a closed detector answers");
        } catch (IllegalStateException expected) {
            require(expected.getMessage().contains("closed"), "says so");
        }
    }

    /** A gray picture as BufferedImage, and NV21 taken apart as Android hands it over. */
    private static void helpers(Case gray, Case nv21) throws Exception {
        int width = gray.numbers[0];
        int height = gray.numbers[1];
        BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_BYTE_GRAY);
        image.getRaster().setDataElements(0, 0, width, height, gray.pixels);
        BufferedImage colour = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
        for (int y = 0; y < height; ++y) {
            for (int x = 0; x < width; ++x) {
                colour.setRGB(x, y, 0x10101 * (gray.pixels[y * width + x] & 255));
            }
        }
        width = nv21.numbers[0];
        height = nv21.numbers[1];
        ByteBuffer pixels = ByteBuffer.wrap(nv21.pixels);
        ByteBuffer v = pixels.duplicate().position(width * height).slice();
        ByteBuffer u = pixels.duplicate().position(width * height + 1).slice();
        ByteBuffer packed =
                Nv21.pack(
                        width,
                        height,
                        new Nv21.Plane(pixels, width, 1),
                        new Nv21.Plane(u, width, 2),
                        new Nv21.Plane(v, width, 2),
                        null);
        require(packed.equals(pixels), "NV21 from planes");
        File file = File.createTempFile("faces", ".png");
        ImageIO.write(image, "png", file);
        Example.main(new String[] {file.getPath()});
        require(file.delete(), "delete");
        try (Detector detector = new Detector()) {
            gray.check(detector.detect(Pictures.of(image).mirrored(true)));
            gray.check(detector.detect(Pictures.of(colour).mirrored(true)));
        }
    }

    private static void frames(Picture picture, int count) {
        try (Detector detector = new Detector()) {
            for (int i = 0; i < count; ++i) {
                detector.detect(picture);
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        List<Case> cases = read(Path.of(arguments[0]));
        if (arguments.length > 1) {
            frames(cases.get(5).direct(), Integer.parseInt(arguments[1]));
            return;
        }
        sameFaces(cases);
        classNames(Path.of(arguments[0]));
        helpers(cases.get(4), cases.get(5));
        keepsNoMemory(cases.get(5));
        eightThreads(cases.get(5));
        refusals();
        System.out.println("Java: passed");
    }
}

package ultraface.awt;

import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import ultraface.Picture;
import ultraface.PixelFormat;

/** Pictures of desktop Java; Android has no java.awt. */
public final class Pictures {
    private Pictures() {}

    /** Use the pixels of an image: 3-byte BGR and gray as they are, others drawn into BGR. */
    public static Picture of(BufferedImage image) {
        boolean gray = image.getType() == BufferedImage.TYPE_BYTE_GRAY;
        boolean whole = image.getRaster().getParent() == null;
        BufferedImage source = image;
        if (!whole || !gray && image.getType() != BufferedImage.TYPE_3BYTE_BGR) {
            gray = false;
            source =
                    new BufferedImage(
                            image.getWidth(), image.getHeight(), BufferedImage.TYPE_3BYTE_BGR);
            Graphics2D pen = source.createGraphics();
            pen.drawImage(image, 0, 0, null);
            pen.dispose();
        }
        byte[] pixels = ((DataBufferByte) source.getRaster().getDataBuffer()).getData();
        PixelFormat format = gray ? PixelFormat.GRAY : PixelFormat.BGR;
        return Picture.of(pixels, source.getWidth(), source.getHeight(), format);
    }
}

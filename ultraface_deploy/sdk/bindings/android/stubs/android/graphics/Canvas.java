package android.graphics;

public class Canvas {
    public void translate(float x, float y) {}

    public void drawText(String text, float x, float y, Paint paint) {}

    public void drawRect(float x1, float y1, float x2, float y2, Paint pen) {}
}

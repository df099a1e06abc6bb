package android.graphics;

public class Paint {
    public enum Style { STROKE }

    public void setColor(int color) {}

    public void setStyle(Style style) {}

    public void setTextSize(float size) {}

    public void setStrokeWidth(float width) {}
}

package android.view;

public class View {
    public View(android.content.Context context) {}

    public boolean post(Runnable action) { return true; }

    public void invalidate() {}

    public final int getWidth() { return 0; }

    public final int getHeight() { return 0; }

    protected void onDraw(android.graphics.Canvas canvas) {}
}

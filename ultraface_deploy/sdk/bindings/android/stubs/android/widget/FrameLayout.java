package android.widget;

public class FrameLayout extends android.view.View {
    public FrameLayout(android.content.Context context) { super(context); }

    public void addView(android.view.View child) {}
}

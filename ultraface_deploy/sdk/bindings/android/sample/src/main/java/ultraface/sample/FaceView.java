package ultraface.sample;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.Paint;
import android.view.View;
import java.util.Collections;
import java.util.List;
import ultraface.Detector;
import ultraface.Face;

/**
 * Draws boxes, and what classes are called, over a preview that fills the view and is cut off at its
 * longer sides.
 */
final class FaceView extends View {
    private final Paint pen = new Paint();
    private final Paint writing = new Paint();
    private List<Face> faces = Collections.emptyList();
    private int frameWidth = 1;
    private int frameHeight = 1;

    FaceView(Context context) {
        super(context);
        pen.setColor(Color.GREEN);
        pen.setStyle(Paint.Style.STROKE);
        pen.setStrokeWidth(4);
        writing.setColor(Color.GREEN);
        writing.setTextSize(40);
    }

    /** Show the faces of a frame; from any thread. */
    void show(List<Face> faces, int width, int height) {
        post(
                () -> {
                    this.faces = faces;
                    frameWidth = width;
                    frameHeight = height;
                    invalidate();
                });
    }

    @Override
    protected void onDraw(Canvas canvas) {
        float scale =
                Math.max((float) getWidth() / frameWidth, (float) getHeight() / frameHeight);
        canvas.translate(
                (getWidth() - scale * frameWidth) / 2, (getHeight() - scale * frameHeight) / 2);
        for (Face face : faces) {
            canvas.drawRect(
                    scale * face.x1, scale * face.y1, scale * face.x2, scale * face.y2, pen);
            String name = Detector.className(face.label);
            if (name != null) {
                canvas.drawText(name, scale * face.x1, scale * face.y1 - 8, writing);
            }
        }
    }
}

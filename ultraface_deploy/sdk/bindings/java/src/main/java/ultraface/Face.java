package ultraface;

/** Corners in pixels of the upright picture, score in 0..1, class from 1. */
public final class Face {
    public final float x1, y1, x2, y2;
    public final float score;
    public final int label;

    Face(float x1, float y1, float x2, float y2, float score, int label) {
        this.x1 = x1;
        this.y1 = y1;
        this.x2 = x2;
        this.y2 = y2;
        this.score = score;
        this.label = label;
    }

    @Override
    public String toString() {
        return x1 + " " + y1 + " " + x2 + " " + y2 + " " + score;
    }
}

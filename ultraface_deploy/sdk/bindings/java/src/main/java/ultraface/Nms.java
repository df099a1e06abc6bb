package ultraface;

/** What becomes of boxes that overlap a better one. */
public enum Nms {
    HARD, SOFT, BLEND
}

package android.graphics;

public class Color { public static final int GREEN = 0xFF00FF00; }

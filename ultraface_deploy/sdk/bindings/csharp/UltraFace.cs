using System;

namespace UltraFace
{
    /// <summary>How pixels lie in memory; see ultraface_format in ultraface.h.</summary>
    public enum PixelFormat { Bgr, Rgb, Gray, Nv21, Rgba, Bgra, Nv12, I420 }

    /// <summary>What becomes of boxes that overlap a better one.</summary>
    public enum Nms { Hard, Soft, Blend }

    /// <summary>Degrees clockwise that turn a picture upright.</summary>
    public enum Rotation { None = 0, Right = 90, Half = 180, Left = 270 }

    /// <summary>A code of ultraface.h.</summary>
    public enum Status
    {
        Ok, InvalidArgument, ModelMissing, ModelDamaged, RuntimeFailed, OutOfMemory
    }

    /// <summary>The library refused an argument or failed.</summary>
    public sealed class UltraFaceException : Exception
    {
        /// <summary>What kind of failure it was.</summary>
        public Status Status { get; }

        internal UltraFaceException(Status status, string message) : base(message)
        {
            Status = status;
        }
    }

    /// <summary>Corners in pixels of the upright picture, score in 0..1, class from 1.</summary>
    public readonly struct Face
    {
        public readonly float X1, Y1, X2, Y2, Score;
        public readonly int Label;
    }

    /// <summary>Part of an upright picture, in pixels.</summary>
    public readonly struct Region
    {
        public readonly int X, Y, Width, Height;

        public Region(int x, int y, int width, int height)
        {
            X = x;
            Y = y;
            Width = width;
            Height = height;
        }
    }

    /// <summary>How a detector works; a null keeps the library's default.</summary>
    public sealed class Options
    {
        public float? ScoreThreshold { get; set; }
        public float? IouThreshold { get; set; }
        public Nms? Nms { get; set; }
        public int? Candidates { get; set; }
        public int? TopK { get; set; }
        public int? Threads { get; set; }
        public bool? KeepAspect { get; set; }
    }

    /// <summary>
    /// A loaded model. Threads may share one, but then wait for each other: open one a thread to
    /// use all cores.
    /// </summary>
    public sealed class Detector : IDisposable
    {
        private const int Capacity = 256;
        private readonly DetectorHandle handle;

        /// <summary>Load the model and prove that it runs.</summary>
        /// <param name="options">null for the defaults</param>
        /// <param name="modelFolder">null for the model inside the library</param>
        /// <exception cref="UltraFaceException">the library refuses either</exception>
        public Detector(Options options = null, string modelFolder = null)
        {
            Native.RequireVersion();
            var chosen = Native.Defaults();
            if (options != null) chosen.Take(options);
            Native.Check(Native.ultraface_create(
                Native.Utf8(modelFolder), ref chosen, out handle));
        }

        /// <summary>Find the faces of one picture, best first.</summary>
        /// <param name="pixels">all bytes of the picture</param>
        /// <param name="width">of the picture as it lies in memory</param>
        /// <param name="height">of the same</param>
        /// <param name="stride">bytes from row to row; 0 for rows without gaps</param>
        /// <param name="rotation">what turns the picture upright</param>
        /// <param name="mirrored">whether it is then mirrored from left to right</param>
        /// <param name="region">part of the upright picture to look at; null for all of it</param>
        /// <exception cref="UltraFaceException">the library refuses the picture</exception>
        /// <exception cref="ObjectDisposedException">the detector is closed</exception>
        public unsafe Face[] Detect(
            ReadOnlySpan<byte> pixels, int width, int height, PixelFormat format,
            int stride = 0, Rotation rotation = Rotation.None, bool mirrored = false,
            Region? region = null)
        {
            var part = region.GetValueOrDefault();
            fixed (byte* first = pixels)
            {
                var image = new NativeImage
                {
                    Size = (uint)sizeof(NativeImage),
                    Format = (int)format,
                    Width = width,
                    Height = height,
                    Stride = stride,
                    Rotation = (int)rotation,
                    Mirrored = mirrored ? 1 : 0,
                    RegionX = part.X,
                    RegionY = part.Y,
                    RegionWidth = part.Width,
                    RegionHeight = part.Height,
                    Pixels = (IntPtr)first,
                    Bytes = (UIntPtr)pixels.Length,
                };
                Face* found = stackalloc Face[Capacity];
                Native.Check(Native.ultraface_detect(
                    handle, ref image, found, Capacity, out int count));
                return new ReadOnlySpan<Face>(found, Math.Min(count, Capacity)).ToArray();
            }
        }

        /// <summary>What the class of a label is called.</summary>
        /// <returns>null where the network does not say</returns>
        public static string ClassName(int label)
        {
            Native.RequireVersion();
            return Native.FromUtf8(Native.ultraface_class_name(label));
        }

        /// <summary>Free the detector, once no other thread is using it.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }
    }
}

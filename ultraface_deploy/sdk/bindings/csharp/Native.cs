using System;
using System.Runtime.InteropServices;
using System.Text;

namespace UltraFace
{
    /// <summary>Counts the calls that use a detector, so that none is freed under one.</summary>
    internal sealed class DetectorHandle : SafeHandle
    {
        private DetectorHandle() : base(IntPtr.Zero, true) { }

        public override bool IsInvalid => handle == IntPtr.Zero;

        protected override bool ReleaseHandle()
        {
            Native.ultraface_destroy(handle);
            return true;
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct NativeOptions
    {
        public uint Size;
        public float ScoreThreshold, IouThreshold;
        public int Nms, Candidates, TopK, Threads, KeepAspect;

        public void Take(Options options)
        {
            ScoreThreshold = options.ScoreThreshold ?? ScoreThreshold;
            IouThreshold = options.IouThreshold ?? IouThreshold;
            Nms = (int?)options.Nms ?? Nms;
            Candidates = options.Candidates ?? Candidates;
            TopK = options.TopK ?? TopK;
            Threads = options.Threads ?? Threads;
            KeepAspect = options.KeepAspect == true ? 1 : 0;
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct NativeImage
    {
        public uint Size;
        public int Format, Width, Height, Stride, Rotation, Mirrored;
        public int RegionX, RegionY, RegionWidth, RegionHeight, ChromaStride;
        public IntPtr Pixels;
        public UIntPtr Bytes;
        public IntPtr Chroma0, Chroma1;
        public UIntPtr ChromaBytes0, ChromaBytes1;
    }

    internal static class Native
    {
        private const string Library = "ultraface";
        private const int ApiVersion = 1;

        [DllImport(Library)]
        private static extern int ultraface_version();

        [DllImport(Library)]
        private static extern IntPtr ultraface_last_error();

        [DllImport(Library)]
        internal static extern IntPtr ultraface_class_name(int label);

        [DllImport(Library)]
        private static extern int ultraface_default_options(out NativeOptions options, uint size);

        [DllImport(Library)]
        internal static extern int ultraface_create(
            byte[] modelFolder, ref NativeOptions options, out DetectorHandle detector);

        [DllImport(Library)]
        internal static extern unsafe int ultraface_detect(
            DetectorHandle detector, ref NativeImage image, Face* faces, int capacity,
            out int count);

        [DllImport(Library)]
        internal static extern void ultraface_destroy(IntPtr detector);

        internal static void RequireVersion()
        {
            int version = ultraface_version();
            if (version == ApiVersion) return;
            throw new DllNotFoundException(
                $"libultraface has version {version} of the interface; {ApiVersion} is needed");
        }

        internal static unsafe NativeOptions Defaults()
        {
            Check(ultraface_default_options(out var options, (uint)sizeof(NativeOptions)));
            return options;
        }

        internal static void Check(int status)
        {
            if (status == 0) return;
            string message = Marshal.PtrToStringAnsi(ultraface_last_error());
            throw new UltraFaceException((Status)status, message);
        }

        /// <summary>What Marshal.PtrToStringUTF8 does, which Mono lacks.</summary>
        internal static unsafe string FromUtf8(IntPtr text)
        {
            if (text == IntPtr.Zero) return null;
            var first = (byte*)text;
            int length = 0;
            while (first[length] != 0) ++length;
            return Encoding.UTF8.GetString(first, length);
        }

        internal static byte[] Utf8(string text)
        {
            return text == null ? null : Encoding.UTF8.GetBytes(text + "\0");
        }
    }
}

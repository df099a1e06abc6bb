using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Threading;
using UltraFace;

/// <summary>The conformance set, threads, memory and errors.</summary>
static class Test
{
    sealed class Case
    {
        public string Name;
        public byte[] Pixels;
        public PixelFormat Format;
        public int Width, Height, Stride;
        public Rotation Rotation;
        public bool Mirrored, KeepAspect;
        public Region Region;
        public readonly List<float[]> Faces = new List<float[]>();

        public Face[] Find(Detector detector)
        {
            return detector.Detect(
                Pixels, Width, Height, Format, Stride, Rotation, Mirrored, Region);
        }

        public void Check(Face[] faces)
        {
            Require(faces.Length == Faces.Count, $"{Name}: {faces.Length} faces");
            for (int i = 0; i < faces.Length; ++i)
            {
                var box = new[] { faces[i].X1, faces[i].Y1, faces[i].X2, faces[i].Y2 };
                for (int side = 0; side < 4; ++side)
                {
                    Require(Math.Abs(box[side] - Faces[i][side]) <= 1, $"{Name}: a box");
                }
                Require(Math.Abs(faces[i].Score - Faces[i][4]) <= 1e-3, $"{Name}: a score");
                Require(faces[i].Label == (int)Faces[i][5], $"{Name}: a label");
            }
        }
    }

    static void Require(bool holds, string what)
    {
        if (!holds) throw new Exception(what);
    }

    static List<Case> Read(string folder)
    {
        var cases = new List<Case>();
        foreach (string line in File.ReadAllLines(Path.Combine(folder, "cases.txt")))
        {
            string[] words = line.Split(' ');
            Func<int, float> number = i => float.Parse(words[i], CultureInfo.InvariantCulture);
            Func<int, int> whole = i => int.Parse(words[i]);
            if (words[0] == "face")
            {
                var face = new float[6];
                for (int i = 0; i < 6; ++i) face[i] = number(i + 1);
                cases[cases.Count - 1].Faces.Add(face);
            }
            else if (words[0] == "case")
            {
                cases.Add(new Case
                {
                    Name = words[1],
                    Pixels = File.ReadAllBytes(Path.Combine(folder, words[2])),
                    Format = (PixelFormat)Enum.Parse(typeof(PixelFormat), words[3], true),
                    Width = whole(4),
                    Height = whole(5),
                    Stride = whole(6),
                    Rotation = (Rotation)whole(7),
                    Mirrored = whole(8) == 1,
                    KeepAspect = whole(9) == 1,
                    Region = new Region(whole(10), whole(11), whole(12), whole(13)),
                });
            }
        }
        return cases;
    }

    static void SameFaces(List<Case> cases)
    {
        Require(cases.Count == 12, "twelve cases");
        foreach (var each in cases)
        {
            using (var detector = new Detector(new Options { KeepAspect = each.KeepAspect }))
            {
                each.Check(each.Find(detector));
            }
        }
    }

    static void ClassNames(string folder)
    {
        int label = 0;
        foreach (string line in File.ReadAllLines(Path.Combine(folder, "cases.txt")))
        {
            if (!line.StartsWith("name ", StringComparison.Ordinal)) continue;
            ++label;
            Require(line == $"name {label} {Detector.ClassName(label)}", line);
        }
        foreach (int nameless in new[] { -1, 0, label + 1 })
        {
            Require(Detector.ClassName(nameless) == null, $"a name of {nameless}");
        }
    }

    static long ResidentKilobytes()
    {
        foreach (string line in File.ReadAllLines("/proc/self/status"))
        {
            if (line.StartsWith("VmRSS:"))
            {
                return long.Parse(line.Substring(6).Replace("kB", "").Trim());
            }
        }
        throw new Exception("no VmRSS");
    }

    static void KeepsNoMemory(Case picture)
    {
        using (var detector = new Detector())
        {
            long before = 0;
            for (int count = 0; count < 1200; ++count)
            {
                if (count == 200) before = ResidentKilobytes();
                picture.Find(detector);
            }
            long grown = ResidentKilobytes() - before;
            Require(grown < 4096, $"grew by {grown} kB");
        }
    }

    static void EightThreads(Case picture)
    {
        using (var shared = new Detector())
        {
            Exception failure = null;
            var threads = new Thread[8];
            for (int i = 0; i < 8; ++i)
            {
                threads[i] = new Thread(() =>
                {
                    try
                    {
                        using (var own = new Detector())
                        {
                            for (int round = 0; round < 10; ++round)
                            {
                                picture.Check(picture.Find(shared));
                                picture.Check(picture.Find(own));
                            }
                        }
                    }
                    catch (Exception error)
                    {
                        failure = error;
                    }
                });
                threads[i].Start();
            }
            foreach (var thread in threads) thread.Join();
            if (failure != null) throw failure;
        }
    }

    static void Refused(Action action)
    {
        try
        {
            action();
        }
        catch (UltraFaceException error)
        {
            Require(error.Status == Status.InvalidArgument, "status " + error.Status);
            return;
        }
        throw new Exception("nothing was refused");
    }

    static void Refusals()
    {
        var pixels = new byte[3 * 64 * 48];
        var detector = new Detector();
        var bgr = PixelFormat.Bgr;
        Refused(() => detector.Detect(null, 64, 48, bgr));
        Refused(() => detector.Detect(pixels, 0, 48, bgr));
        Refused(() => detector.Detect(pixels, 64, 0, bgr));
        Refused(() => detector.Detect(pixels, 64, 48, bgr, 191));
        Refused(() => detector.Detect(pixels.AsSpan(1), 64, 48, bgr));
        Refused(() => detector.Detect(pixels, 64, 48, bgr, 0, (Rotation)45));
        Refused(() => detector.Detect(pixels, 64, 48, (PixelFormat)8));
        Refused(() => detector.Detect(
            pixels, 64, 48, bgr, 0, Rotation.None, false, new Region(60, 0, 5, 48)));
        Refused(() => new Detector(new Options { ScoreThreshold = 2 }));
        detector.Dispose();
        detector.Dispose();
        try
        {
            detector.Detect(pixels, 64, 48, bgr);
            throw new Exception("a closed detector answers");
        }
        catch (ObjectDisposedException)
        {
        }
    }

    static void Frames(Case picture, int count)
    {
        using (var detector = new Detector())
        {
            for (int i = 0; i < count; ++i) picture.Find(detector);
        }
    }

    static void Main(string[] arguments)
    {
        var cases = Read(arguments[0]);
        if (arguments.Length > 1)
        {
            Frames(cases[5], int.Parse(arguments[1]));
            return;
        }
        SameFaces(cases);
        ClassNames(arguments[0]);
        KeepsNoMemory(cases[5]);
        EightThreads(cases[5]);
        Refusals();
        Console.WriteLine("C#: passed");
    }
}

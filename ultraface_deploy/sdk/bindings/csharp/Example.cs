using System;
using System.IO;
using System.Text;
using UltraFace;

/// <summary>Prints the faces of a binary PPM picture: mono Example.exe photo.ppm</summary>
static class Example
{
    static int Main(string[] arguments)
    {
        byte[] file = File.ReadAllBytes(arguments[0]);
        string[] words = Encoding.ASCII.GetString(file, 0, Math.Min(file.Length, 64)).Split();
        if (words[0] != "P6")
        {
            Console.Error.WriteLine($"{arguments[0]}: is not a binary PPM picture");
            return 2;
        }
        int width = int.Parse(words[1]), height = int.Parse(words[2]);
        var pixels = new ReadOnlySpan<byte>(file).Slice(file.Length - 3 * width * height);
        using (var detector = new Detector())
        {
            foreach (var face in detector.Detect(pixels, width, height, PixelFormat.Rgb))
            {
                Console.WriteLine(
                    $"{face.X1} {face.Y1} {face.X2} {face.Y2} {face.Score} "
                    + Detector.ClassName(face.Label));
            }
        }
        return 0;
    }
}

// Check MODEL IMAGE: what the C# class promises. Writes "done", or what is not so.
using System;
using System.IO;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Threading.Tasks;
using Blemish;

internal static class Check
{
    private static void That(bool isSo, string what)
    {
        if (!isSo) throw new Exception("not so: " + what);
    }

    private static BlemishException Refused(Action call)
    {
        try { call(); }
        catch (BlemishException error) { return error; }
        throw new Exception("nothing was refused");
    }

    // Not in the caller's frame, so that nothing holds the detectors.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Forget(string model)
    {
        for (var time = 0; time < 20; time++) new Detector(model, 2);
    }

    private static int Threads() => Directory.GetDirectories("/proc/self/task").Length;

    private static int Main(string[] arguments)
    {
        string model = arguments[0], image = arguments[1];
        That(Detector.LibraryVersion.Split('.').Length == 3, "a version");

        var error = Refused(() => new Detector("nowhere.blemish"));
        That(error.Status == 6 && error.Code == "io" && error.Message.Contains("nowhere"), error.ToString());
        error = Refused(() => new Detector(new byte[] { 1, 2, 3 }));
        That(error.Status == 3 && error.Help.Length > 0 | error.Message.Length > 0, error.ToString());
        error = Refused(() => new Detector((string)null));
        That(error.Status == 1 && error.Code == "usage", error.ToString());

        var detector = new Detector(model);
        That(detector.Verify() == 0, "verified");
        var one = detector.ScoreFile(image, wantMap: true);
        var bytes = detector.ScoreEncoded(File.ReadAllBytes(image));
        var fromBytes = new Detector(File.ReadAllBytes(model), 1);
        That(one.Score == bytes.Score && bytes.Map == null && one.Map.Length == one.MapHeight * one.MapWidth, "a map");
        That(one.Score == fromBytes.ScoreFile(image).Score && one.PValue != null && one.Threshold != null, "a model in memory");
        That(one.IsAnomalous == (one.Score > one.Threshold) && one.Json.Contains("\"score\""), "a decision");
        That(one.Regions.All(region => region.Width > 0 && region.Area > 0 && region.PeakScore <= one.Map.Max()), "regions");

        // Colours in two orders, with a stride, and in planes.
        const int width = 21, height = 18, stride = 3 * width + 5;
        byte[] rgb = new byte[stride * height], bgr = new byte[stride * height], planes = new byte[3 * width * height];
        for (var y = 0; y < height; y++)
            for (var x = 0; x < width; x++)
                for (var channel = 0; channel < 3; channel++)
                {
                    var value = (byte)(60 + (x * 7 + y * 13 + channel * 31) % 90);
                    rgb[y * stride + 3 * x + channel] = value;
                    bgr[y * stride + 3 * x + 2 - channel] = value;
                    planes[(channel * height + y) * width + x] = value;
                }
        var score = detector.Score(rgb, width, height, Format.Rgb8, stride).Score;
        That(score == detector.Score(bgr, width, height, Format.Bgr8, stride).Score, "BGR");
        That(score == detector.Score(planes, width, height, Format.PlanarRgb8).Score, "planes");
        error = Refused(() => detector.Score(rgb, width, height, Format.Rgb8, -stride));
        That(error.Status == 2 && error.Help.Contains("upper row"), error.ToString());
        try
        {
            detector.Score(rgb, width, 2 * height, Format.Rgb8, stride);
            That(false, "too few bytes");
        }
        catch (ArgumentException) { }

        var scores = new float[64];
        Parallel.For(0, scores.Length, new ParallelOptions { MaxDegreeOfParallelism = 8 },
            at => scores[at] = detector.Score(rgb, width, height, Format.Rgb8, stride).Score);
        That(scores.All(value => value == score), "eight tasks");

        fromBytes.Dispose();
        fromBytes.Dispose();
        try
        {
            fromBytes.ScoreFile(image);
            That(false, "disposed");
        }
        catch (ObjectDisposedException) { }

        var before = Threads();
        Forget(model);
        for (var time = 0; time < 50 && Threads() > before + 4; time++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            System.Threading.Thread.Sleep(20);
        }
        That(Threads() <= before + 4, "the finaliser frees: " + Threads() + " threads, " + before + " before");
        detector.Dispose();
        Console.WriteLine("done");
        return 0;
    }
}

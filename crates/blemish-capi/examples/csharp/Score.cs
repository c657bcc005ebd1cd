// Score MODEL IMAGE...: the C# class, from eight tasks at once.
//
//     mcs -out:Score.exe Score.cs ../../bindings/csharp/Blemish.cs && mono Score.exe part.blemish new/*.png
using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using Blemish;

internal static class Score
{
    private static int Main(string[] arguments)
    {
        if (arguments.Length < 2)
        {
            Console.Error.WriteLine("usage: Score MODEL IMAGE...");
            return 2;
        }
        try
        {
            using (var detector = new Detector(arguments[0]))
            {
                var images = arguments.Skip(1).ToArray();
                var verdicts = new Verdict[images.Length];
                Parallel.For(0, images.Length, new ParallelOptions { MaxDegreeOfParallelism = 8 },
                    at => verdicts[at] = detector.ScoreFile(images[at], wantMap: true));
                foreach (var verdict in verdicts) Console.WriteLine(verdict.Json);
            }
            return 0;
        }
        catch (Exception error) when (error.InnerException is BlemishException inner)
        {
            Console.Error.WriteLine("error {0} ({1}): {2}", inner.Status, inner.Code, inner.Message);
            return 1;
        }
        catch (BlemishException error)
        {
            Console.Error.WriteLine("error {0} ({1}): {2}", error.Status, error.Code, error.Message);
            return 1;
        }
    }
}

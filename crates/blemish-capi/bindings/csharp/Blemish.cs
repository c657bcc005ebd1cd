// libblemish for .NET: netstandard2.0, .NET Framework and Mono. Copy this file into a project and put blemish.dll, libblemish.so or
// libblemish.dylib beside the program.
//
//     using (var detector = new Blemish.Detector("part.blemish"))
//     {
//         var verdict = detector.ScoreFile("new.png");
//         if (verdict.IsAnomalous == true) StopTheLine();
//     }
//
// A detector may be used from any number of threads and tasks at once.

using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Blemish
{
    /// <summary>How pixels lie in memory; 16-bit and float samples are in the machine's byte order.</summary>
    public enum Format
    {
        Grey8 = 1, Grey16, Grey32F, Rgb8, Bgr8, Rgba8, Bgra8, Rgb16, Rgb32F,
        /// <summary>Red, green and blue have a plane each; here the planes follow each other.</summary>
        PlanarRgb8, PlanarRgb16
    }

    /// <summary>What went wrong. <see cref="Code"/> is stable for programs, <see cref="Help"/> says how to mend it.</summary>
    public sealed class BlemishException : Exception
    {
        public int Status { get; }
        public string Code { get; }
        public string Help { get; }

        internal BlemishException(int status, string code, string message, string help)
            : base(help.Length == 0 ? message : message + "; " + help)
        {
            Status = status;
            Code = code;
            Help = help;
        }
    }

    /// <summary>Where an anomaly map lies above the pixel threshold, in pixels of the image.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Region
    {
        internal uint StructSize;
        public uint X, Y, Width, Height, PeakX, PeakY;
        public float PeakScore;
        public double CentroidX, CentroidY, Area, MeanScore;
    }

    /// <summary>What a detector says of an image; nothing in it has to be freed.</summary>
    public sealed class Verdict
    {
        /// <summary>Raw image score, unbounded, higher is worse.</summary>
        public float Score { get; internal set; }
        /// <summary>The share of good images that score like this or worse, at most; null without a calibration.</summary>
        public double? PValue { get; internal set; }
        /// <summary>An image with a score above it is anomalous; null if there is none.</summary>
        public float? Threshold { get; internal set; }
        /// <summary>Whether the image is; null without a threshold.</summary>
        public bool? IsAnomalous { get; internal set; }
        /// <summary>The highest peak first.</summary>
        public IReadOnlyList<Region> Regions { get; internal set; }
        /// <summary>MapHeight x MapWidth scores, row by row; null if the map was not wanted.</summary>
        public float[] Map { get; internal set; }
        public int MapHeight { get; internal set; }
        public int MapWidth { get; internal set; }
        /// <summary>All of it, as `blemish predict` writes it.</summary>
        public string Json { get; internal set; }
    }

    /// <summary>A fitted detector.</summary>
    public sealed class Detector : IDisposable
    {
        private readonly DetectorHandle handle;

        /// <summary>Loads a model file; 0 threads are one for each core.</summary>
        public Detector(string path, int threads = 0)
        {
            var options = LoadOptions.With(threads);
            Native.Check(Native.blemish_load(Utf8(path), ref options, out handle, out var error), error);
        }

        /// <summary>Loads a model from the bytes of its file.</summary>
        public Detector(byte[] model, int threads = 0)
        {
            var options = LoadOptions.With(threads);
            var length = (UIntPtr)(uint)(model?.Length ?? 0);
            Native.Check(Native.blemish_load_bytes(model, length, ref options, out handle, out var error), error);
        }

        /// <summary>The version of the library.</summary>
        public static string LibraryVersion => Native.Text(Native.blemish_version());

        /// <summary>Scores an image file.</summary>
        public Verdict ScoreFile(string path, bool wantMap = false, double minimumArea = 0)
        {
            var options = ScoreOptions.With(wantMap, minimumArea);
            return Taken(Native.blemish_score_file(handle, Utf8(path), ref options, out var result, out var error), result, error);
        }

        /// <summary>Scores the bytes of an image file.</summary>
        public Verdict ScoreEncoded(byte[] image, bool wantMap = false, double minimumArea = 0)
        {
            var options = ScoreOptions.With(wantMap, minimumArea);
            var length = (UIntPtr)(uint)(image?.Length ?? 0);
            return Taken(Native.blemish_score_encoded(handle, image, length, ref options, out var result, out var error), result, error);
        }

        /// <summary>Scores pixels; stride in bytes, 0 if rows follow each other without a gap.</summary>
        public Verdict Score(byte[] pixels, int width, int height, Format format, int stride = 0, bool wantMap = false, double minimumArea = 0)
        {
            if (pixels == null) throw new ArgumentNullException(nameof(pixels));
            if (pixels.LongLength < Needed(width, height, format, stride))
                throw new ArgumentException("there are fewer bytes than width, height, stride and format take", nameof(pixels));
            var pinned = GCHandle.Alloc(pixels, GCHandleType.Pinned);
            try
            {
                return Score(pinned.AddrOfPinnedObject(), width, height, format, stride, wantMap, minimumArea);
            }
            finally
            {
                pinned.Free();
            }
        }

        /// <summary>
        /// Scores pixels at an address, such as Scan0 of Bitmap.LockBits (Format.Bgr8 for Format24bppRgb; a negative stride is refused:
        /// turn the bitmap over first).
        /// </summary>
        public Verdict Score(IntPtr pixels, int width, int height, Format format, int stride = 0, bool wantMap = false, double minimumArea = 0)
        {
            if (width < 0 || height < 0) throw new ArgumentException("width and height are numbers of pixels");
            var plane = format == Format.PlanarRgb8 || format == Format.PlanarRgb16
                ? (long)height * (stride != 0 ? stride : (long)width * Bytes(format)) : 0;
            var image = new Image
            {
                StructSize = (uint)Marshal.SizeOf<Image>(), Format = (int)format, Width = (uint)width, Height = (uint)height,
                Stride = new UIntPtr(IntPtr.Size == 4 ? unchecked((uint)stride) : unchecked((ulong)stride)),
                Plane0 = pixels,
                Plane1 = plane == 0 || pixels == IntPtr.Zero ? IntPtr.Zero : new IntPtr(pixels.ToInt64() + plane),
                Plane2 = plane == 0 || pixels == IntPtr.Zero ? IntPtr.Zero : new IntPtr(pixels.ToInt64() + 2 * plane)
            };
            var options = ScoreOptions.With(wantMap, minimumArea);
            return Taken(Native.blemish_score(handle, ref image, ref options, out var result, out var error), result, error);
        }

        /// <summary>Throws unless the model scores here as where it was fitted; gives the largest difference.</summary>
        public double Verify()
        {
            Native.Check(Native.blemish_verify(handle, out var difference, out var error), error);
            return difference;
        }

        /// <summary>Writes the detector as a model file.</summary>
        public void Save(string path)
        {
            Native.Check(Native.blemish_save(handle, Utf8(path), out var error), error);
        }

        /// <summary>Frees it; a call that is under way in another thread ends first.</summary>
        public void Dispose() => handle.Dispose();

        private static int Bytes(Format format)
        {
            switch (format)
            {
                case Format.Grey8: case Format.PlanarRgb8: return 1;
                case Format.Grey16: case Format.PlanarRgb16: return 2;
                case Format.Rgb8: case Format.Bgr8: return 3;
                case Format.Grey32F: case Format.Rgba8: case Format.Bgra8: return 4;
                case Format.Rgb16: return 6;
                case Format.Rgb32F: return 12;
                default: return 1;
            }
        }

        /// <summary>Bytes from the first to the last that is looked at; 0 where the library refuses the numbers.</summary>
        private static long Needed(int width, int height, Format format, int stride)
        {
            var row = (long)width * Bytes(format);
            if (width <= 0 || height <= 0 || (stride != 0 && stride < row)) return 0;
            var isPlanar = format == Format.PlanarRgb8 || format == Format.PlanarRgb16;
            return ((isPlanar ? 3L : 1L) * height - 1) * (stride == 0 ? row : stride) + row;
        }

        private static Verdict Taken(int status, ResultHandle result, IntPtr error)
        {
            using (result)
            {
                Native.Check(status, error);
                var verdict = new Verdict
                {
                    Score = Native.blemish_result_score(result),
                    PValue = Native.blemish_result_p_value(result, out var p) == 1 ? p : (double?)null,
                    Threshold = Native.blemish_result_threshold(result, out var threshold) == 1 ? threshold : (float?)null,
                    Json = Native.Text(Native.blemish_result_json(result))
                };
                var anomalous = Native.blemish_result_anomalous(result);
                verdict.IsAnomalous = anomalous < 0 ? (bool?)null : anomalous == 1;
                var regions = new Region[(int)Native.blemish_result_region_count(result)];
                for (var at = 0; at < regions.Length; at++)
                {
                    regions[at].StructSize = (uint)Marshal.SizeOf<Region>();
                    Native.Check(Native.blemish_result_region(result, (UIntPtr)(uint)at, ref regions[at]), IntPtr.Zero);
                }
                verdict.Regions = regions;
                var map = Native.blemish_result_map(result, out var height, out var width);
                if (map != IntPtr.Zero)
                {
                    verdict.Map = new float[checked((int)(height * width))];
                    verdict.MapHeight = (int)height;
                    verdict.MapWidth = (int)width;
                    Marshal.Copy(map, verdict.Map, 0, verdict.Map.Length);
                }
                return verdict;
            }
        }

        /// <summary>A text for C, which ends in a zero byte.</summary>
        private static byte[] Utf8(string text) => text == null ? null : Encoding.UTF8.GetBytes(text + "\0");
    }

    internal sealed class DetectorHandle : SafeHandleZeroOrMinusOneIsInvalid
    {
        private DetectorHandle() : base(true) { }

        protected override bool ReleaseHandle()
        {
            Native.blemish_detector_free(handle);
            return true;
        }
    }

    internal sealed class ResultHandle : SafeHandleZeroOrMinusOneIsInvalid
    {
        private ResultHandle() : base(true) { }

        protected override bool ReleaseHandle()
        {
            Native.blemish_result_free(handle);
            return true;
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct Image
    {
        public uint StructSize;
        public int Format;
        public uint Width, Height;
        public UIntPtr Stride;
        public IntPtr Plane0, Plane1, Plane2;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct LoadOptions
    {
        public uint StructSize, Threads;
        public IntPtr Engine, Device;
        public ulong MemoryLimit;

        public static LoadOptions With(int threads) =>
            new LoadOptions { StructSize = (uint)Marshal.SizeOf<LoadOptions>(), Threads = threads < 0 ? 0 : (uint)threads };
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct ScoreOptions
    {
        public uint StructSize;
        public int WantMap;
        public double MinimumArea;
        public IntPtr Cancel, Category;

        public static ScoreOptions With(bool wantMap, double minimumArea) => new ScoreOptions
        {
            StructSize = (uint)Marshal.SizeOf<ScoreOptions>(), WantMap = wantMap ? 1 : 0, MinimumArea = minimumArea
        };
    }

    /// <summary>The functions of blemish.h.</summary>
    internal static class Native
    {
        private const string Library = "blemish";
        private const CallingConvention C = CallingConvention.Cdecl;

        [DllImport(Library, CallingConvention = C)] internal static extern IntPtr blemish_version();
        [DllImport(Library, CallingConvention = C)] internal static extern int blemish_load(byte[] path, ref LoadOptions options, out DetectorHandle detector, out IntPtr error);
        [DllImport(Library, CallingConvention = C)] internal static extern int blemish_load_bytes(byte[] data, UIntPtr length, ref LoadOptions options, out DetectorHandle detector, out IntPtr error);
        [DllImport(Library, CallingConvention = C)] internal static extern int blemish_verify(DetectorHandle detector, out double difference, out IntPtr error);
        [DllImport(Library, CallingConvention = C)] internal static extern int blemish_save(DetectorHandle detector, byte[] path, out IntPtr error);
        [DllImport(Library, CallingConvention = C)] internal static extern void blemish_detector_free(IntPtr detector);
        [DllImport(Library, CallingConvention = C)] internal static extern int blemish_score(DetectorHandle detector, ref Image image, ref ScoreOptions options, out ResultHandle result, out IntPtr error);
        [DllImport(Library, CallingConvention = C)] internal static extern int blemish_score_encoded(DetectorHandle detector, byte[] data, UIntPtr length, ref ScoreOptions options, out ResultHandle result, out IntPtr error);
        [DllImport(Library, CallingConvention = C)] internal static extern int blemish_score_file(DetectorHandle detector, byte[] path, ref ScoreOptions options, out ResultHandle result, out IntPtr error);
        [DllImport(Library, CallingConvention = C)] internal static extern float blemish_result_score(ResultHandle result);
        [DllImport(Library, CallingConvention = C)] internal static extern int blemish_result_p_value(ResultHandle result, out double value);
        [DllImport(Library, CallingConvention = C)] internal static extern int blemish_result_threshold(ResultHandle result, out float value);
        [DllImport(Library, CallingConvention = C)] internal static extern int blemish_result_anomalous(ResultHandle result);
        [DllImport(Library, CallingConvention = C)] internal static extern IntPtr blemish_result_map(ResultHandle result, out uint height, out uint width);
        [DllImport(Library, CallingConvention = C)] internal static extern UIntPtr blemish_result_region_count(ResultHandle result);
        [DllImport(Library, CallingConvention = C)] internal static extern int blemish_result_region(ResultHandle result, UIntPtr index, ref Region region);
        [DllImport(Library, CallingConvention = C)] internal static extern IntPtr blemish_result_json(ResultHandle result);
        [DllImport(Library, CallingConvention = C)] internal static extern void blemish_result_free(IntPtr result);
        [DllImport(Library, CallingConvention = C)] internal static extern IntPtr blemish_error_code(IntPtr error);
        [DllImport(Library, CallingConvention = C)] internal static extern IntPtr blemish_error_message(IntPtr error);
        [DllImport(Library, CallingConvention = C)] internal static extern IntPtr blemish_error_help(IntPtr error);
        [DllImport(Library, CallingConvention = C)] internal static extern void blemish_error_free(IntPtr error);

        /// <summary>Throws if a call has failed; frees its error.</summary>
        internal static void Check(int status, IntPtr error)
        {
            if (status == 0) return;
            try
            {
                throw new BlemishException(status, Text(blemish_error_code(error)), Text(blemish_error_message(error)), Text(blemish_error_help(error)));
            }
            finally
            {
                blemish_error_free(error);
            }
        }

        /// <summary>A text of the library's, which is UTF-8 on every system.</summary>
        internal static string Text(IntPtr text)
        {
            if (text == IntPtr.Zero) return "";
            var length = 0;
            while (Marshal.ReadByte(text, length) != 0) length++;
            var bytes = new byte[length];
            Marshal.Copy(text, bytes, 0, length);
            return Encoding.UTF8.GetString(bytes);
        }
    }
}

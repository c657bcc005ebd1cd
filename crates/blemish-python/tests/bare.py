"""The example of the README in an environment with nothing but the wheel."""

import subprocess
import sys
import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as folder:
    parts = Path(folder) / "parts"
    words = [sys.executable, "-I", "-m", "blemish", "data", "synth", str(parts), "--train", "12", "--size", "128x128", "--progress", "none"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    new = next((parts / "test").glob("*/*.png"))

    from blemish import Detector

    detector = Detector("patchcore").fit(parts)
    result = detector.predict(new)
    assert result.map is not None and result.p_value is not None and result.anomalous is not None
    assert not {"torch", "PIL", "sklearn"} & set(sys.modules)
    print(f"score {result.score:.3f}, p-value {result.p_value:.3f}, anomalous {result.anomalous}, {len(result.regions)} regions")

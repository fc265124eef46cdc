"""The story's material, made on the spot: a video in which sentences are spoken, and one that is broken."""

import subprocess
import tempfile
import wave
from pathlib import Path

from windlass.demo.place import Place

SENTENCES = (
    "A job queue runs work in the background.",
    "When a worker dies another worker takes over its jobs.",
    "An answer that was lost is looked up before anything is sent again.",
    "A job that cannot succeed goes to the dead letters.",
)
WIDTH, HEIGHT, RATE = 1280, 720, 10
_PAUSE = 0.4
"""Seconds between the sentences: a recogniser cuts there."""
_SPEED = "160"
_TIMEOUT = 60.0


class SampleFailed(Exception):
    """A program that should make the sample did not."""


def make_sample(place: Place, path: Path) -> float:
    """Make the video; its seconds. Raises `SampleFailed`."""
    with tempfile.TemporaryDirectory(prefix="windlass-sample-") as folder:
        sound = Path(folder) / "speech.wav"
        seconds = _speak(place, Path(folder), sound)
        picture = ["-f", "lavfi", "-i", f"testsrc2=size={WIDTH}x{HEIGHT}:rate={RATE}:duration={seconds:.3f}"]
        pack = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "26", "-pix_fmt", "yuv420p", "-c:a", "aac"]
        command = [place.ffmpeg, "-nostdin", "-v", "error", "-y", *picture, "-i", str(sound), *pack, str(path)]
        _run(command)
    return seconds


def make_broken(path: Path) -> None:
    """A file that begins like a video and holds nothing that could be decoded."""
    path.write_bytes(b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + b"no video" * 4_096)


def _speak(place: Place, folder: Path, sound: Path) -> float:
    """The sentences with pauses, as one sound; its seconds."""
    parts: list[bytes] = []
    rate = 0
    for number, sentence in enumerate(SENTENCES):
        part = folder / f"{number}.wav"
        _run([place.espeak, "-v", "en-us", "-s", _SPEED, "-w", str(part), "--stdin"], sentence)
        with wave.open(str(part)) as spoken:
            rate = spoken.getframerate()
            parts += [spoken.readframes(spoken.getnframes()), bytes(2 * int(rate * _PAUSE))]
    with wave.open(str(sound), "wb") as whole:
        whole.setnchannels(1)
        whole.setsampwidth(2)
        whole.setframerate(rate)
        whole.writeframes(b"".join(parts))
    return sum(map(len, parts)) / 2 / rate


def _run(command: list[str], text: str = "") -> None:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SampleFailed(f"{command[0]}: {error}") from error
    if done.returncode:
        raise SampleFailed(f"{command[0]}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")

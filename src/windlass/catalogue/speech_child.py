"""The offline recogniser for `transcripts`: run by path in a process of its own, since it holds the interpreter for seconds.

Reads one JSON request, writes a JSON line for each stretch of speech (`{"segment": ...}`, `{"at": seconds}`) and at the end
`{"done": ...}`.
"""

import json
import sys
import tempfile
import wave
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # as a program it is in no package
speech_model = import_module("speech_model")
pocketsphinx: Any = import_module("pocketsphinx")

_RATE = 16_000
_WIDE = {"bestpath": False, "beam": 1e-80, "wbeam": 1e-60, "pbeam": 1e-80}
"""For grammars: with the usual beams three of four sentences of a synthetic voice were lost on the way, and the search for
the best path afterwards ended sentences early. A grammar is small enough for the wider ones."""
_EDGE = 0.25
"""Seconds around a stretch of speech that the recogniser hears too: words lose their first sound without."""


def main() -> None:
    """Answer the request on standard input."""
    request = json.load(sys.stdin)
    with tempfile.TemporaryDirectory(dir=request["folder"]) as folder:
        decoder, unknown = _decoder(request, Path(folder))
        with wave.open(request["source"], "rb") as audio:
            if (audio.getframerate(), audio.getnchannels(), audio.getsampwidth()) != (_RATE, 1, 2):
                raise SystemExit("the audio must be 16 kHz, mono, 16 bits")
            for segment, at in _heard(request, decoder, audio):
                _say({"segment": segment, "at": at} if segment["text"] else {"at": at})
    _say({"done": True, "unknown": sorted(unknown)})


def _decoder(request: dict[str, Any], folder: Path) -> tuple[Any, set[str]]:
    phrases = [
        words for phrase in [*request["grammar"], *request["vocabulary"]] if (words := speech_model.words_of(phrase))
    ]
    options: dict[str, Any] = {"loglevel": "FATAL", "samprate": _RATE}
    unknown: set[str] = set()
    if phrases:
        with Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict")).open(encoding="utf-8") as full:
            text, unknown = speech_model.dictionary({word for words in phrases for word in words}, full)
        phrases = [kept for words in phrases if (kept := [word for word in words if word not in unknown])]
        (folder / "words.dict").write_text(text, encoding="utf-8")
        options["dict"] = str(folder / "words.dict")
    if not phrases:
        return pocketsphinx.Decoder(lm=pocketsphinx.get_model_path("en-us/en-us.lm.bin"), **options), unknown
    if request["grammar"]:
        (folder / "given.gram").write_text(speech_model.jsgf(phrases), encoding="utf-8")
        options |= {"jsgf": str(folder / "given.gram"), "lm": None, **_WIDE}
    else:
        (folder / "given.lm").write_text(speech_model.arpa(phrases), encoding="utf-8")
        options["lm"] = str(folder / "given.lm")
    return pocketsphinx.Decoder(**options), unknown


def _heard(request: dict[str, Any], decoder: Any, audio: wave.Wave_read) -> Iterator[tuple[dict[str, Any], float]]:
    whole = audio.readframes(audio.getnframes())
    with tempfile.TemporaryFile() as stream:
        stream.write(whole + bytes(_RATE * 2))  # the last word is cut without a second of silence after it
        stream.seek(0)
        for stretch in pocketsphinx.Segmenter(sample_rate=_RATE, vad_mode=1).segment(stream):
            start, end = float(stretch.start_time), float(stretch.end_time)
            sound = whole[_at(start - _EDGE) : _at(end + _EDGE)]
            decoder.start_utt()
            decoder.process_raw(sound, full_utt=True)
            decoder.end_utt()
            found = decoder.hyp()
            text = found.hypstr if found else ""
            sure = found and not request["grammar"]  # of a grammar it says 1 whatever it heard
            confidence = round(min(1.0, max(0.0, float(decoder.get_prob()))), 4) if sure else None
            yield {"start": round(start, 3), "end": round(end, 3), "text": text, "confidence": confidence}, end


def _at(seconds: float) -> int:
    return max(0, round(seconds * _RATE)) * 2


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

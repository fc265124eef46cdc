"""faster-whisper for `transcripts`: run by path in a process of its own, with a model from a folder; it downloads nothing.

Reads one JSON request, writes a JSON line for each segment (`{"segment": ..., "at": seconds}`) and `{"done": ..., "language"}`.
"""

import json
import math
import os
import sys
from importlib import import_module
from typing import Any


def main() -> None:
    """Answer the request on standard input."""
    request = json.load(sys.stdin)
    os.environ["HF_HUB_OFFLINE"] = "1"
    whisper: Any = import_module("faster_whisper")
    model = whisper.WhisperModel(request["model"], device="auto", compute_type="default", local_files_only=True)
    segments, about = model.transcribe(
        request["source"],
        language=request["language"].partition("-")[0].lower() or None,
        initial_prompt=", ".join(request["vocabulary"]) or None,
        vad_filter=True,
    )
    for each in segments:
        found = {
            "start": round(each.start, 3),
            "end": round(each.end, 3),
            "text": each.text.strip(),
            "confidence": round(math.exp(min(0.0, each.avg_logprob)), 4),
        }
        sys.stdout.write(json.dumps({"segment": found, "at": each.end}) + "\n")
        sys.stdout.flush()
    sys.stdout.write(json.dumps({"done": True, "language": about.language, "unknown": []}) + "\n")


if __name__ == "__main__":
    main()

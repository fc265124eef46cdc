"""The founding documents' functions: jobs by queue and name, a chain, a worker for a queue, statistics, dead letters."""

import asyncio
from typing import Any

from windlass import Windlass, compat, presets

app = compat.use(presets.apply(Windlass("sqlite://:memory:"), presets.media))


async def process_video(data: dict[str, Any], job: compat.QueueJob) -> dict[str, Any]:
    await job.update_progress(50)
    if data["contentId"] == "broken":
        raise ValueError("not a video")
    await job.update_progress(100)
    return {"success": True}


async def main() -> None:
    async with app:
        worker = compat.create_worker("video-processing", process_video, {"concurrency": 2})
        good = await compat.add_video_processing_job({"contentId": "c-1"}, {"priority": compat.JOB_PRIORITY.HIGH})
        broken = {"name": "process-video", "data": {"contentId": "broken"}}
        await compat.add_job("video-processing", broken, {"attempts": 1})
        await compat.chain_jobs(
            [
                {"queueName": "transcript-generation", "name": "generate-transcript", "data": {"contentId": "c-1"}},
                {"queueName": "content-generation", "name": "generate-content", "data": {"contentId": "c-1"}},
            ]
        )
        print("ran", await worker.drain())
        status = await compat.get_job_status("video-processing", good.id)
        print(status["state"], status["progress"], status["result"])
        for name, counts in (await compat.get_all_queue_stats()).items():
            print(name, {state: n for state, n in counts.items() if n})
        for letter in await compat.get_dead_letter_jobs():
            print(letter["error"], "| can be tried again:", letter["canRetry"])
        metrics = await compat.queue_service.get_queue_metrics("video-processing")
        print("success rate", metrics["metrics"]["successRate"])


if __name__ == "__main__":
    asyncio.run(main())

"""The REST API in this process: a key, a job, its result, what a user cannot see, and what goes wrong."""

import asyncio

import httpx2 as httpx

from windlass import Windlass

app = Windlass("sqlite://:memory:")


@app.job
async def add(a: int, b: int = 2) -> int:
    return a + b


async def main() -> None:
    api = httpx.ASGITransport(app.asgi(development=True))
    async with app, httpx.AsyncClient(transport=api, base_url="http://localhost/api/v1/") as client:
        made = await client.post("jobs", json={"kind": "add", "args": {"a": 1}, "tags": ["demo"]})
        print(made.status_code, made.json()["kind"])
        await app.drain()
        result = (await client.get(f"jobs/{made.json()['id']}/result")).json()
        print(result["state"], result["result"])

        wrong = (await client.post("jobs", json={"kind": "add", "args": {"a": "one"}})).json()
        print(wrong["status"], wrong["code"], wrong["errors"][0]["pointer"])

        key = (await client.post("keys", json={"name": "shop", "role": "user", "user": "shop"})).json()["key"]
        shop = {"Authorization": f"Bearer {key}"}
        mine = (await client.post("jobs", json={"kind": "add", "args": {"a": 5}}, headers=shop)).json()["id"]
        print("the shop sees", [job["id"] == mine for job in (await client.get("jobs", headers=shop)).json()["items"]])
        print("of others' jobs:", (await client.get(f"jobs/{made.json()['id']}", headers=shop)).json()["code"])


if __name__ == "__main__":
    asyncio.run(main())

"""A server of completions whose behaviour is known: python tests/openai_server.py PORT [options].

One worker answers in the order of arrival, or one for each request, in a time drawn from an
exponential distribution. It speaks as much of the OpenAI API as load tests use, and can be told to
fail.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import time
from typing import Any

from aiohttp import web
from tokenizers import Tokenizer

TEXT = "positive"


class Worker:
    """Answers one request at a time, first come first served, and notes how long each took."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given, self.random, self.turn = given, random.Random(given.seed), asyncio.Lock()
        self.seen = 0
        self.bodies: list[Any] = []
        self.served: list[tuple[float, float, float]] = []  # arrival, service seconds, end

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One completion, streamed as `data:` lines."""
        arrival, body = time.time(), await request.json()
        prompt, given = body["prompt"], self.given
        if given.text_only and not isinstance(prompt, str):
            return web.json_response({"error": "prompt must be a string"}, status=400)
        counted = given.more_tokens + (
            len(prompt.split()) if isinstance(prompt, str) else len(prompt)
        )
        usage = {"prompt_tokens": counted, "completion_tokens": 1}
        if not body.get("stream"):
            choices = [{"index": 0, "text": self.text(body)}]
            told = {} if given.uncounted else {"usage": usage}
            return web.json_response({"id": "x", "choices": choices, **told})
        self.bodies.append(body)
        self.seen += 1
        number = self.seen
        if given.die_after and number > given.die_after:
            os._exit(3)
        if given.hang and number % given.hang == 0:
            await asyncio.sleep(3600)
        if given.fail and number % given.fail == 0:
            return web.Response(status=500, text="made to fail")
        # asyncio's locks are fair
        async with contextlib.nullcontext() if given.parallel else self.turn:
            service = self.random.expovariate(1 / given.service_s) if given.service_s else 0.0
            started = time.perf_counter()
            while (left := started + service - time.perf_counter()) > 0:
                await asyncio.sleep(left)
            self.served.append((arrival, time.perf_counter() - started, time.time()))
        if given.garbage:
            return web.Response(text="<html>no API here</html>", content_type="text/html")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in (
            {"choices": [{"index": 0, "text": self.text(body)}]},
            {
                "choices": [{"index": 0, "text": "", "finish_reason": "stop"}],
                "usage": usage,
            },
        ):
            await response.write(f"data: {json.dumps({'id': 'x', **part})}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    def text(self, body: dict[str, Any]) -> str:
        """What it writes: of allowed tokens, the one that the prompt's length points to."""
        allowed = body.get("allowed_token_ids")
        if allowed is None:
            return str(self.given.text)
        tokenizer = Tokenizer.from_file(f"{self.given.model}/tokenizer.json")
        return str(tokenizer.decode([allowed[len(body["prompt"]) % len(allowed)]]))

    async def asked(self, _: web.Request) -> web.Response:
        """The bodies of the requests that it was streamed answers to."""
        return web.json_response(self.bodies)

    async def tell(self, _: web.Request) -> web.Response:
        """What it noted, for theory to be applied to."""
        return web.json_response(self.served)


async def ready(request: web.Request) -> web.Response:
    """Whether it may be asked, which takes a while where it was told so."""
    return web.json_response({}, status=200 if time.time() > request.app["from"] else 503)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--model", help="whose tokenizer it has")
    parser.add_argument("--service-s", type=float, default=0.0, help="mean seconds a request")
    parser.add_argument("--parallel", action="store_true", help="a worker for each request")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--text", default=TEXT)
    parser.add_argument("--ready-after-s", type=float, default=0.0)
    parser.add_argument("--fail", type=int, help="answer 500 to each such request")
    parser.add_argument("--hang", type=int, help="never answer each such request")
    parser.add_argument("--die-after", type=int, help="exit after so many requests")
    parser.add_argument("--garbage", action="store_true", help="answer with no JSON")
    parser.add_argument("--text-only", action="store_true", help="take no token ids as a prompt")
    parser.add_argument("--more-tokens", type=int, default=0, help="count so many more in each")
    parser.add_argument("--uncounted", action="store_true", help="tell no usage unless streaming")
    parser.add_argument("--child", action="store_true", help="start a process that outlives this")
    given: Any = parser.parse_args()
    if given.child:
        os.spawnlp(os.P_NOWAIT, "setsid", "setsid", "sleep", "86399")

    async def made() -> web.Application:
        worker, app = Worker(given), web.Application()
        app["from"] = time.time() + given.ready_after_s
        app.add_routes(
            [
                web.get("/health", ready),
                web.get("/served", worker.tell),
                web.get("/asked", worker.asked),
                web.post("/v1/completions", worker.answer),
            ]
        )
        return app

    web.run_app(made(), host="127.0.0.1", port=given.port, print=None, access_log=None)


if __name__ == "__main__":
    main()

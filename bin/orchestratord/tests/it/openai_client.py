"""Drives the daemon with the official client; its address and, if there is one, the token are arguments."""

import json
import sys
import threading
import urllib.request

import openai

BASE, TOKEN = sys.argv[1], sys.argv[2]
# Without retries, so that each refusal shows.
client = openai.OpenAI(base_url=f"{BASE}/v1", api_key=TOKEN, max_retries=0, timeout=60)
MODEL = "scripted"


def native(path):
    request = urllib.request.Request(f"{BASE}{path}", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def ask(content, **options):
    return client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": content}], **options
    )


def refusal(kind, call):
    try:
        call()
    except openai.APIStatusError as error:
        assert type(error) is kind, f"{type(error)} in place of {kind}: {error}"
        return error
    raise AssertionError(f"{kind} was expected")


# Whole answers and streams say the same.
whole = ask("[[tokens=20]] tell me", seed=7, temperature=0.5, top_p=0.9)
assert whole.object == "chat.completion"
text = whole.choices[0].message.content
assert whole.choices[0].finish_reason == "stop"
assert whole.usage.completion_tokens == 20
assert whole.usage.total_tokens == whole.usage.prompt_tokens + 20

chunks = list(ask("[[tokens=20]] tell me", stream=True, stream_options={"include_usage": True}))
assert len({chunk.id for chunk in chunks}) == 1
assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 20
assert chunks[-2].choices[0].finish_reason == "stop"
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == text

# Stop strings and limits.
word = text.split()[3]
stopped = ask("[[tokens=20]] tell me", stop=word).choices[0]
assert stopped.message.content == text[: text.index(word)], stopped
assert stopped.finish_reason == "stop"
short = ask("[[tokens=20]] tell me", max_completion_tokens=5).choices[0]
assert short.finish_reason == "length" and text.startswith(short.message.content)

# The seed is the task's own.
raw = client.chat.completions.with_raw_response.create(
    model=MODEL, messages=[{"role": "user", "content": "x"}], seed=1234
)
assert native(f"/v2/tasks/{raw.headers['x-task-id']}")["parameters"]["sampling"]["seed"] == 1234

# Models.
assert MODEL in [model.id for model in client.models.list()]
assert client.models.retrieve(MODEL).id == MODEL

# Refusals become the client's exceptions.
bad = refusal(openai.BadRequestError, lambda: ask("x", extra_body={"colour": "red"}))
assert bad.param == "colour" and bad.status_code == 400, bad
bad = refusal(openai.BadRequestError, lambda: ask("x", temperature=5))
assert bad.param == "temperature", bad
bad = refusal(openai.BadRequestError, lambda: ask("word " * 9000))
assert bad.code == "context_length_exceeded", bad
unknown = refusal(
    openai.NotFoundError,
    lambda: client.chat.completions.create(model="none", messages=[{"role": "user", "content": "x"}]),
)
assert unknown.code == "model_not_found", unknown
refusal(openai.NotFoundError, lambda: client.models.retrieve("none"))
stranger = openai.OpenAI(base_url=f"{BASE}/v1", api_key="wrong", max_retries=0)
refusal(openai.AuthenticationError, lambda: stranger.models.list())

# An error in the middle of a stream is raised.
try:
    for _ in ask("[[error_after=3]] [[tokens=9]]", stream=True):
        pass
    raise AssertionError("an error was expected")
except openai.APIError as error:
    assert not isinstance(error, openai.APIStatusError), error

# A full queue, and clients that leave: the first stream holds the only slot, the second the only place.
held = ask("[[stall_after=1]]", stream=True)
next(iter(held))
waiting = ask("[[tokens=4]] in line", stream=True)
full = refusal(openai.RateLimitError, lambda: ask("no room"))
assert full.response.headers["x-should-retry"] == "true"
held.close()
assert "".join(chunk.choices[0].delta.content or "" for chunk in waiting)
newest = native("/v2/tasks?limit=2")["items"]
assert [task["status"] for task in newest] == ["succeeded", "canceled"], newest

# Two clients at once, of which one waits for the other.
answers = {}


def at_once(name):
    own = openai.OpenAI(base_url=f"{BASE}/v1", api_key=TOKEN)
    stream = own.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "[[tokens=20]] tell me"}], stream=True
    )
    answers[name] = "".join(chunk.choices[0].delta.content or "" for chunk in stream)


threads = [threading.Thread(target=at_once, args=(name,)) for name in "ab"]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert answers == {"a": text, "b": text}, answers
print("all said")

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

# Calls of tools, whole and streamed.
weather = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
called = ask("[[tokens=6]] [[call_tool]]", tools=[weather], tool_choice="auto").choices[0]
assert called.finish_reason == "tool_calls" and called.message.content is None, called
call = called.message.tool_calls[0]
assert call.function.name == "weather" and call.function.arguments and call.id, call
pieces = [
    piece
    for chunk in ask("[[tokens=6]] [[call_tool]]", tools=[weather], stream=True)
    for piece in chunk.choices[0].delta.tool_calls or []
]
assert pieces[0].function.name == "weather" and pieces[0].id, pieces
assert "".join(piece.function.arguments or "" for piece in pieces) == call.function.arguments
# The conversation goes on with what the tool said.
again = client.chat.completions.create(
    model=MODEL,
    tools=[weather],
    messages=[
        {"role": "user", "content": "[[tokens=3]] weather?"},
        called.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ],
)
assert again.choices[0].message.content

# Schemas, log probabilities, several answers.
schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True}}
assert ask("[[tokens=2]]", response_format=schema).choices[0].finish_reason == "stop"
told = ask("[[tokens=3]]", logprobs=True, top_logprobs=1).choices[0]
assert [entry.logprob for entry in told.logprobs.content] == [0, -0.125, -0.25], told
assert told.logprobs.content[1].top_logprobs[0].token == "else", told
two = ask("[[tokens=20]] tell me", n=2)
assert [choice.index for choice in two.choices] == [0, 1]
assert {choice.message.content for choice in two.choices} == {text}
streams = ["", ""]
for chunk in ask("[[tokens=20]] tell me", n=2, stream=True):
    streams[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
assert streams == [text, text], streams

# Plain completions.
plain = client.completions.create(model=MODEL, prompt="[[tokens=9]] once", max_tokens=5, logprobs=1)
assert plain.object == "text_completion" and plain.choices[0].finish_reason == "length", plain
assert len(plain.choices[0].logprobs.tokens) == 5, plain
parts = client.completions.create(model=MODEL, prompt="[[tokens=9]] once", max_tokens=5, stream=True)
assert "".join(part.choices[0].text for part in parts) == plain.choices[0].text

# Embeddings; the client asks for base64 by itself.
made = client.embeddings.create(model=MODEL, input=["[[tokens=3]]", "ab"])
assert made.data[1].embedding == [12.125, 12.25, 0.0], made
floats = client.embeddings.create(model=MODEL, input=["[[tokens=3]]", "ab"], encoding_format="float")
assert floats.data[1].embedding == made.data[1].embedding, floats
bad = refusal(
    openai.BadRequestError, lambda: client.embeddings.create(model=MODEL, input="x", dimensions=3)
)
assert bad.param == "dimensions", bad

# What the pool does not declare is refused by name; every answer says which request it was.
image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}}]
bad = refusal(openai.BadRequestError, lambda: ask(image))
assert bad.param == "messages" and bad.request_id, bad
bad = refusal(openai.BadRequestError, lambda: ask("x", response_format={"type": "json_object"}))
assert bad.param == "response_format", bad
fetched = [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/a.png"}}]
bad = refusal(openai.BadRequestError, lambda: ask(fetched))
assert bad.param == "messages[0].content[0].image_url.url", bad
bad = refusal(
    openai.BadRequestError, lambda: client.completions.create(model=MODEL, prompt="x", suffix="y")
)
assert bad.param == "suffix", bad
named = client.chat.completions.with_raw_response.create(
    model=MODEL,
    messages=[{"role": "user", "content": "x"}],
    extra_headers={"X-Correlation-Id": "mine"},
)
assert named.headers["x-request-id"] == "mine" and named.parse()._request_id == "mine"

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

"""Speed of llama.cpp in the units of `speed.rs`, for a comparison on the same machine.

    target/setup/venv/bin/python crates/engine-candle/examples/speed_llama_cpp.py MODEL.gguf [THREADS]
"""

import os
import sys
import time

import xllamacpp

PROMPT_TOKENS = 512
GENERATED_TOKENS = 128

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx = 8192
params.n_parallel = 1
threads = int(sys.argv[2]) if len(sys.argv) > 2 else os.cpu_count()
params.cpuparams.n_threads = threads
params.cpuparams_batch.n_threads = threads
start = time.monotonic()
server = xllamacpp.Server(params)
print(f"threads {threads}")
print(f"load     {time.monotonic() - start:8.3f} s")
prompt = [100 + i * 7 for i in range(PROMPT_TOKENS)]
for _ in range(3):
    timings = server.handle_completions(
        {
            "prompt": prompt,
            "n_predict": GENERATED_TOKENS,
            "temperature": 1.0,
            "top_k": 0,
            "top_p": 1.0,
            "min_p": 0.0,
            "cache_prompt": False,
            "ignore_eos": True,
        }
    )["timings"]
    print(f"prefill  {timings['prompt_per_second']:8.1f} tokens/s")
    print(f"generate {timings['predicted_per_second']:8.1f} tokens/s")
with open("/proc/self/status") as status:
    print(*(line.strip() for line in status if line.startswith(("VmRSS", "VmHWM"))), sep="\n")

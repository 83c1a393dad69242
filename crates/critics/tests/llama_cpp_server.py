"""Serves a model by llama.cpp's own server on a free port of loopback, prints its address, and ends with its
standard input.

    target/setup/venv/bin/python crates/critics/tests/llama_cpp_server.py MODEL.gguf
"""

import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx = 2048
params.n_parallel = 1
params.warmup = False
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()

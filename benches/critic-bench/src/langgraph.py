"""Runs graphs of trivial nodes, none of which waits for another, and prints the time per node as JSON lines."""

import asyncio
import json
import statistics
import sys
import time
from importlib.metadata import version
from operator import add
from typing import Annotated, TypedDict

from langgraph.graph import END, START, StateGraph

ROUNDS = 7
NODES_PER_ROUND = 2000


class State(TypedDict):
    answers: Annotated[list, add]


async def node(_state):
    return {"answers": [0.0]}


def graph_of(nodes):
    graph = StateGraph(State)
    for index in range(nodes):
        graph.add_node(f"critic-{index}", node)
        graph.add_edge(START, f"critic-{index}")
        graph.add_edge(f"critic-{index}", END)
    return graph.compile()


async def measure(nodes):
    graph = graph_of(nodes)
    runs = max(1, NODES_PER_ROUND // nodes)
    await graph.ainvoke({"answers": []})
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        for _ in range(runs):
            result = await graph.ainvoke({"answers": []})
            assert len(result["answers"]) == nodes
        rounds.append((time.perf_counter_ns() - start) / (runs * nodes))
    return statistics.median(rounds)


for size in map(int, sys.argv[1:]):
    line = {
        "name": f"LangGraph {version('langgraph')}",
        "nodes": size,
        "node_ns": asyncio.run(measure(size)),
    }
    print(json.dumps(line), flush=True)

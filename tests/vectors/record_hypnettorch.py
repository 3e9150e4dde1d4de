"""Record reference vectors from hypnettorch's ChunkedHMLP into hypnettorch_chunked.npz.

How to run, in an environment kept apart from this project's own:

    pip install torch numpy matplotlib
    pip install --no-deps hypnettorch==0.0.4
    python record_hypnettorch.py

Recorded with Python 3.11, hypnettorch 0.0.4, torch 2.14.0, numpy 2.4.6 and matplotlib 3.11.2
(which hypnettorch only imports).

What hypnettorch computes: for every chunk, the MLP's input is [chunk embedding, task embedding], the
chunk embedding first. Weights are [out, in]; the output layer is linear. The chunks' outputs are
joined in order, the unused end of the last one is dropped, and the rest is split into the target
shapes, each filled in row-major order.

Keys, for each case (relu, linear, elu):
    CASE/config              JSON text: the settings, and every internal parameter in hypnettorch's order
    CASE/task_embeddings     [tasks, cond_emb_size]
    CASE/chunk_embeddings    [chunks, chunk_emb_size]
    CASE/weightI, CASE/biasI the MLP's layers, counted from the input
    CASE/generated/T         task T's parameters, flat, in the order of the target shapes
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypnettorch.hnets.chunked_mlp_hnet import ChunkedHMLP

TARGET_SHAPES = [[8, 20], [8], [8, 8], [8], [3, 8], [3]]
CHUNK_SIZE = 37  # 267 outputs: seven whole chunks and 8 values of an eighth
COND_EMB_SIZE = 5
CHUNK_EMB_SIZE = 4
TASKS = 3
CASES: dict[str, tuple[tuple[int, ...], torch.nn.Module | None, int]] = {  # name: (hidden layers, activation, seed)
    "relu": ((10, 7), torch.nn.ReLU(), 1),
    "linear": ((), None, 2),
    "elu": ((10, 7), torch.nn.ELU(), 3),
}


def record(
    name: str, layers: tuple[int, ...], activation: torch.nn.Module | None, seed: int
) -> dict[str, "np.ndarray[Any, Any]"]:
    """Return one case's arrays, by key."""
    hnet = ChunkedHMLP(
        TARGET_SHAPES,
        CHUNK_SIZE,
        chunk_emb_size=CHUNK_EMB_SIZE,
        cond_chunk_embs=False,
        uncond_in_size=0,
        cond_in_size=COND_EMB_SIZE,
        layers=layers,
        activation_fn=activation,
        use_bias=True,
        num_cond_embs=TASKS,
        verbose=False,
    )
    hnet.eval()
    rng = np.random.default_rng(seed)  # NumPy's generator, so that the draws do not depend on torch

    params: dict[str, np.ndarray[Any, Any]] = {}
    listing: list[dict[str, Any]] = []
    task_embeddings: list[np.ndarray[Any, Any]] = []
    layer = 0
    for meta, param in zip(hnet.param_shapes_meta, hnet.internal_params, strict=True):
        shape = tuple(param.shape)
        scale = {"embedding": 1.0, "weight": 1.5 / shape[-1] ** 0.5, "bias": 0.5}[meta["name"]]
        value = (scale * rng.standard_normal(shape)).astype(np.float32)
        with torch.no_grad():
            param.copy_(torch.from_numpy(value))
        if meta["name"] == "embedding" and meta.get("info") == "chunk embeddings":
            key = "chunk_embeddings"
            params[key] = value
        elif meta["name"] == "embedding":
            key = f"task_embeddings[{len(task_embeddings)}]"
            task_embeddings.append(value)
        else:
            key = f"{meta['name']}{layer}"
            params[key] = value
            layer += meta["name"] == "bias"
        listing.append({"key": key, "hypnettorch_name": meta["name"], "shape": list(shape)})
    params["task_embeddings"] = np.stack(task_embeddings)

    for task in range(TASKS):
        with torch.no_grad():
            flat = hnet(cond_id=task, ret_format="flattened")[0].numpy()
            pieces = [piece.numpy() for piece in hnet(cond_id=task)]
        assert [list(piece.shape) for piece in pieces] == TARGET_SHAPES
        assert np.array_equal(np.concatenate([piece.ravel() for piece in pieces]), flat)
        params[f"generated/{task}"] = flat

    params["config"] = np.array(
        json.dumps(
            {
                "target_shapes": TARGET_SHAPES,
                "chunk_size": CHUNK_SIZE,
                "num_chunks": hnet.num_chunks,
                "chunk_emb_size": CHUNK_EMB_SIZE,
                "cond_emb_size": COND_EMB_SIZE,
                "num_cond_embs": TASKS,
                "layers": list(layers),
                "activation": type(activation).__name__.lower() if layers else None,
                "use_bias": True,
                "input_order": ["chunk_embedding", "task_embedding"],
                "seed": seed,
                "parameters": listing,
            }
        )
    )
    return {f"{name}/{key}": value for key, value in params.items()}


def main() -> None:
    torch.set_num_threads(1)
    arrays: dict[str, Any] = {}
    for name, case in CASES.items():
        arrays.update(record(name, *case))
    np.savez_compressed(Path(__file__).with_name("hypnettorch_chunked.npz"), **arrays)


if __name__ == "__main__":
    main()

"""Numbers as text for a page: large matrices in 8 bits a value, everything compressed."""

import base64
import gzip
import json
import struct
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

LEVELS = 127  # int8 without -128, so that the steps are the same on both sides of zero


def steps(values: Tensor) -> tuple[Tensor, Tensor]:
    r"""The nearest multiples of a step, which each column has for itself.

    .. math:: w_{ij} \approx q_{ij} s_j, \qquad s_j = \max_i |w_{ij}| / 127

    Args:
        values: ``[rows, columns]``, or ``[rows]``, which is one column.

    Returns:
        ``q``, int8 of the shape of ``values``, and ``s``, float32 ``[columns]``.

    Example:
        >>> q, s = steps(torch.tensor([[1.27, 0.0], [-0.5, 0.0]]))
        >>> q.tolist(), [round(step, 4) for step in s.tolist()]
        ([[127, 0], [-50, 0]], [0.01, 0.0])
    """
    columns = values.detach().float().cpu().view(len(values), -1)
    size = columns.abs().amax(0) / LEVELS
    counts = (columns / size.where(size > 0, torch.ones(()))).round()
    return counts.to(torch.int8).view(values.shape), size


def round_(module: nn.Module) -> None:
    """Round all parameters of a module in place to what 8 bits a value can hold, see `steps`.

    A figure stores rounded numbers; a module that was rounded before is shown as it is. Rounding twice changes nothing
    the second time, but for the last bit of a float.

    Example:
        >>> layer = nn.Linear(2, 2, bias=False)
        >>> with torch.no_grad():
        ...     _ = layer.weight.copy_(torch.tensor([[1.27, 2.0], [0.0149, 1.0]]))
        >>> round_(layer)
        >>> [[round(value, 4) for value in row] for row in layer.weight.tolist()]
        [[1.27, 2.0], [0.01, 1.0079]]
    """
    with torch.no_grad():
        for parameter in module.parameters():
            counts, size = steps(parameter)
            parameter.copy_((counts.float().view(len(counts), -1) * size).view(parameter.shape))


def pack(exact: Mapping[str, Tensor], rounded: Mapping[str, Tensor]) -> str:
    """Named tensors as text, which `unpack` reads, and ``unpack`` in ``common.js``.

    The text is base64 of gzip of: the header's length (uint32, little-endian), the header (JSON, a list of name, kind,
    shape), and the values of each tensor in turn. A rounded one has its steps (float32) before its int8 values.

    Args:
        exact: uint8 and float32 tensors, stored as they are.
        rounded: float tensors, stored as `steps` has them.
    """
    header, body = [], b""
    for name, values in exact.items():
        kind = {torch.uint8: "uint8", torch.float32: "float32"}[values.dtype]
        header.append([name, kind, list(values.shape)])
        body += values.detach().cpu().contiguous().numpy().tobytes()
    for name, values in rounded.items():
        counts, size = steps(values)
        header.append([name, "rounded", list(values.shape)])
        body += size.numpy().tobytes() + counts.contiguous().numpy().tobytes()
    first = json.dumps(header).encode()
    return base64.b64encode(gzip.compress(struct.pack("<I", len(first)) + first + body, mtime=0)).decode()


def unpack(text: str) -> dict[str, Tensor]:
    """What `pack` made a text of: rounded tensors as the floats that their steps stand for.

    Example:
        >>> unpack(pack({}, {"weight": torch.tensor([[127.0], [-63.0]])}))["weight"].tolist()
        [[127.0], [-63.0]]
    """
    data = gzip.decompress(base64.b64decode(text))
    (length,) = struct.unpack_from("<I", data)
    at, found = 4 + length, {}
    for name, kind, shape in json.loads(data[4:at]):
        count = int(np.prod(shape))
        columns = count // shape[0] if kind == "rounded" else 0
        size = np.frombuffer(data, "<f4", columns, at)
        at += size.nbytes
        values = np.frombuffer(data, {"uint8": "u1", "float32": "<f4", "rounded": "i1"}[kind], count, at)
        at += values.nbytes
        if kind == "rounded":
            values = values.astype("f4").reshape(-1, columns) * size
        found[name] = torch.from_numpy(values.copy()).view(shape)
    assert at == len(data)
    return found

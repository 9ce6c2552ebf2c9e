"""Run step programs for the JVM's tests, with the real engine of the Python wheel.

A request: the path of a .pte file, then its inputs; without inputs the file is only opened. An
answer: a status byte, then the outputs (0), or a text: why the file is no program (1), or why
running it fails (2). A text is its length in bytes and UTF-8; tensors are their number, and each
its number of sizes, its sizes, and float32 values. Numbers have 4 bytes, and all is little-endian.
"""

import os
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from hiertk_edge.engines.executorch_program import open_file
from hiertk_protocol.errors import BundleError

REFUSED, FAILED = 1, 2


def main() -> None:
    """Answer requests until there are none; what the engine prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    programs: dict[str, Any] = {}
    while path := read_text(sys.stdin.buffer):
        inputs = read_tensors(sys.stdin.buffer)
        try:
            if path not in programs:
                programs[path] = open_file(Path(path))
            outputs = run(programs[path], inputs) if inputs else []
            answers.write(b"\0")
            write_tensors(answers, outputs)
        except (BundleError, RuntimeError) as error:
            status = REFUSED if isinstance(error, BundleError) else FAILED
            text = str(error).encode()
            answers.write(struct.pack(f"<BI{len(text)}s", status, len(text), text))
        answers.flush()


def run(program: Any, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return a program's outputs. Raises RuntimeError."""
    outputs: list[torch.Tensor] = program.run_method("forward", tuple(inputs), clone_outputs=True)
    return outputs


def read_text(stream: BinaryIO) -> str:
    """Return a text, which is empty at the stream's end."""
    head = stream.read(4)
    return stream.read(struct.unpack("<I", head)[0]).decode() if head else ""


def read_tensors(stream: BinaryIO) -> list[torch.Tensor]:
    """Return the tensors of a request."""
    tensors = []
    for _ in range(struct.unpack("<I", stream.read(4))[0]):
        rank = struct.unpack("<I", stream.read(4))[0]
        sizes = struct.unpack(f"<{rank}I", stream.read(4 * rank))
        values = bytearray(stream.read(4 * int(np.prod(sizes))))
        tensors.append(torch.from_numpy(np.frombuffer(values, "<f4").reshape(sizes)))
    return tensors


def write_tensors(stream: BinaryIO, tensors: list[torch.Tensor]) -> None:
    """Write the tensors of an answer."""
    stream.write(struct.pack("<I", len(tensors)))
    for tensor in tensors:
        stream.write(struct.pack(f"<I{tensor.dim()}I", tensor.dim(), *tensor.shape))
        stream.write(tensor.contiguous().numpy().astype("<f4").tobytes())


if __name__ == "__main__":
    main()

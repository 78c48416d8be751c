"""Computation that is the same at every step, recorded once as a CUDA graph and replayed.

A supernet step is thousands of small kernels, and a GPU finishes each before Python has launched the next one. A graph
launches all of them at once. It uses fixed memory: inputs are copied to their addresses at the time of recording, and
results are read from their addresses at that time.
"""

import functools
import gc
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class CapturedGraph:
    """Forward and backward pass over fixed memory."""

    replay: Callable[[], None]
    """Run the recorded kernels again."""
    result: Tensor
    """Result of the computation, overwritten by each replay."""
    gradients: list[Tensor | None]
    """Gradients of the network's parameters, likewise overwritten; None for those that got none."""


Capture = Callable[[Callable[[], Tensor], nn.Module], CapturedGraph]
"""Function that records a computation, which leaves gradients in the parameters of a network that had none."""


def capture_graph(work: Callable[[], Tensor], network: nn.Module) -> CapturedGraph:
    """Record a computation on a GPU; nothing is computed before the first replay.

    Args:
        work: uses GPU tensors with fixed addresses, does not synchronise, and has run before.
        network: without gradients; `work` leaves some in its parameters.

    Raises:
        RuntimeError: if `work` cannot be recorded, or memory runs out.
    """
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    try:
        # thread_local, because other threads, such as the one that pins images in memory, may use CUDA meanwhile
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            result = work()
    except RuntimeError:
        torch.cuda.set_stream(stream)  # torch does not restore the stream if the recording became invalid
        raise
    return CapturedGraph(graph.replay, result, [parameter.grad for parameter in network.parameters()])


class GraphedCallable:
    """Computation with varying inputs and gradients for a network: recorded after two ordinary runs."""

    WARM_UP = 2
    """Runs before recording: they load kernels and allocate workspaces of libraries, which a graph cannot contain."""

    def __init__(self, work: Callable[..., Tensor], network: nn.Module, inputs: Sequence[Tensor], how: Capture) -> None:
        self._network = network
        self._place = _place_of(network)
        # in the same memory format, such as channels_last
        self._inputs = [torch.empty_like(tensor) for tensor in inputs]
        self._work = functools.partial(
            work, *self._inputs
        )  # no reference cycle, so memory is freed as soon as the object is dropped
        self._how = how
        self._runs = 0
        self._recording: CapturedGraph | None = None

    def fits(self, network: nn.Module, inputs: Sequence[Tensor]) -> bool:
        """True if the network is the same, at the same address, and the inputs have the same shapes."""
        return (
            network is self._network
            and _place_of(network) == self._place
            and len(inputs) == len(self._inputs)
            and all(
                (mine.shape, mine.dtype, mine.device) == (new.shape, new.dtype, new.device)
                for mine, new in zip(self._inputs, inputs, strict=True)
            )
        )

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute the result; add the gradients to existing ones."""
        for mine, new in zip(self._inputs, inputs, strict=True):
            mine.copy_(new, non_blocking=True)
        parameters = list(self._network.parameters())
        before = self._out_of_the_way([parameter.grad for parameter in parameters])
        _set_gradients(parameters, [None] * len(parameters))
        if self._runs == self.WARM_UP:
            self._recording = self._recorded(parameters)
        self._runs += 1
        if self._recording is None:
            result = self._work()
        else:
            self._recording.replay()
            _set_gradients(parameters, self._recording.gradients)
            result = self._recording.result.clone()
        for parameter, earlier in zip(parameters, before, strict=True):
            if earlier is not None:
                parameter.grad = earlier if parameter.grad is None else earlier + parameter.grad
        return result

    def _out_of_the_way(self, gradients: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        """Gradients of the parameters, with copies of those that a replay would overwrite."""
        if self._recording is None:
            return gradients
        pairs = zip(gradients, self._recording.gradients, strict=True)
        return [given.clone() if given is not None and given is mine else given for given, mine in pairs]

    def _recorded(self, parameters: Sequence[nn.Parameter]) -> CapturedGraph | None:
        try:
            return self._how(self._work, self._network)
        except RuntimeError as error:
            reason = _first_reason(error)  # a string, so that nothing keeps the error alive
        _set_gradients(parameters, [None] * len(parameters))
        gc.collect()  # frames of the error may hold activations of half a step, and memory may be short
        warnings.warn(f"steps are not recorded as a CUDA graph, and take longer: {reason}", stacklevel=2)
        return None


def _first_reason(error: BaseException) -> str:
    """First cause of an error, in a line: torch's last error only says that the recording is invalid."""
    while error.__context__ is not None:
        error = error.__context__
    return (str(error) or "no reason given").splitlines()[0]


def _set_gradients(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor | None]) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient


def _place_of(network: nn.Module) -> int:
    return next(network.parameters()).data_ptr()

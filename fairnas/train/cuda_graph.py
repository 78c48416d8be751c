"""A computation that is the same at every step, recorded once as a CUDA graph and replayed.

A step of a supernet is thousands of small kernels, and a GPU is done with each before Python has asked for the next
one. A graph asks for all of them at once. It runs on fixed memory: inputs are copied to where they were when it was
recorded, and its results are found where they were then.
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
    """A forward and a backward pass over fixed memory."""

    replay: Callable[[], None]
    """Do it again."""
    result: Tensor
    """What the computation returned, overwritten by each replay."""
    gradients: list[Tensor | None]
    """Of the network's parameters, likewise; None for those that got none."""


Capture = Callable[[Callable[[], Tensor], nn.Module], CapturedGraph]
"""Records a computation, which leaves its gradients in the parameters of a network that had none."""


def capture_graph(work: Callable[[], Tensor], network: nn.Module) -> CapturedGraph:
    """Record a computation on a GPU; nothing is computed before the first replay.

    Args:
        work: reads and writes tensors on the GPU that stay where they are, waits for none of them, and has run before.
        network: without gradients; `work` leaves some in its parameters.

    Raises:
        RuntimeError: if it does what cannot be recorded, or memory runs out.
    """
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    try:
        # other threads, such as one that pins images in memory, may go on as they please
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            result = work()
    except RuntimeError:
        torch.cuda.set_stream(stream)  # torch does not get there if the recording became invalid
        raise
    return CapturedGraph(graph.replay, result, [parameter.grad for parameter in network.parameters()])


class GraphedCallable:
    """A computation with inputs that change and gradients for a network: recorded when it has run twice."""

    WARM_UP = 2
    """Runs before recording: they load kernels and take the memory of libraries, which no graph can hold."""

    def __init__(self, work: Callable[..., Tensor], network: nn.Module, inputs: Sequence[Tensor], how: Capture) -> None:
        self._network = network
        self._place = _place_of(network)
        self._inputs = [torch.empty_like(tensor) for tensor in inputs]  # in the same format, such as channels_last
        self._work = functools.partial(
            work, *self._inputs
        )  # no way back to here: who is let go frees its memory at once
        self._how = how
        self._runs = 0
        self._recording: CapturedGraph | None = None

    def fits(self, network: nn.Module, inputs: Sequence[Tensor]) -> bool:
        """Whether the network is the same, where it was, and the inputs are of the same shapes."""
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
        """Compute; add the gradients to those that are there, and return the result."""
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
        """Gradients of the parameters, those copied that a replay would overwrite."""
        if self._recording is None:
            return gradients
        pairs = zip(gradients, self._recording.gradients, strict=True)
        return [given.clone() if given is not None and given is mine else given for given, mine in pairs]

    def _recorded(self, parameters: Sequence[nn.Parameter]) -> CapturedGraph | None:
        try:
            return self._how(self._work, self._network)
        except RuntimeError as error:
            reason = _first_reason(error)  # and nothing here holds on to the error
        _set_gradients(parameters, [None] * len(parameters))
        gc.collect()  # frames of the error may hold activations of half a step, and there may be no room for more
        warnings.warn(f"steps are not recorded as a CUDA graph, and take longer: {reason}", stacklevel=2)
        return None


def _first_reason(error: BaseException) -> str:
    """What went wrong first, in a line: torch's own last word is only that the recording is invalid."""
    while error.__context__ is not None:
        error = error.__context__
    return (str(error) or "no reason given").splitlines()[0]


def _set_gradients(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor | None]) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient


def _place_of(network: nn.Module) -> int:
    return next(network.parameters()).data_ptr()

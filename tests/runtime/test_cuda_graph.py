"""Steps and their values; recording itself needs CUDA."""

import pytest
import torch

from pipeline.runtime.cuda_graph import WARM_UP, Arrivals, RecordedStep


def test_without_cuda_every_call_is_a_step() -> None:
    calls: list[int] = []
    step = RecordedStep(lambda: calls.append(1), torch.device("cpu"))
    for _ in range(WARM_UP + 3):
        step()
    assert len(calls) == WARM_UP + 3


def test_values_arrive_in_their_order() -> None:
    source, arrived = torch.zeros(2), list[list[float]]()
    arrivals = Arrivals(source, arrived.append)
    for number in range(5):
        source.fill_(number)
        arrivals.take()
    arrivals.finish()
    assert arrived == [[float(number)] * 2 for number in range(5)]


@pytest.mark.gpu
def test_recorded_steps_do_what_unrecorded_ones_do() -> None:
    where, results = torch.device("cuda"), []
    for recorded in (True, False):
        picture = torch.linspace(0, 1, 1000, device=where)
        rows: list[list[float]] = []
        values = torch.zeros(1, device=where)

        def advance(picture: torch.Tensor = picture, values: torch.Tensor = values) -> None:
            picture.mul_(0.9).add_(picture.square(), alpha=0.1)
            values.copy_(picture.sum()[None])

        step = RecordedStep(advance, where) if recorded else advance
        arrivals = Arrivals(values, rows.append, ahead=2)
        for _ in range(20):
            step()
            arrivals.take()
        arrivals.finish()
        results.append((picture.tolist(), rows))
    assert results[0] == results[1]
    assert len(results[0][1]) == 20


@pytest.mark.gpu
def test_a_step_that_cannot_be_recorded_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    where = torch.device("cuda", torch.cuda.current_device())
    number, before = torch.zeros(1, device=where), torch.cuda.current_stream()

    def advance() -> None:
        number.add_(1)
        number.item()

    step = RecordedStep(advance, where)
    for _ in range(WARM_UP + 3):
        step()
    assert number.item() == WARM_UP + 3
    assert torch.cuda.current_stream() == before
    (record,) = caplog.records
    assert "captur" in record.getMessage()
    # It refuses to while it believes that a step is being recorded.
    torch.cuda.empty_cache()
    number.zero_()
    recorded = RecordedStep(lambda: torch.add(number, 1, out=number), where)
    for _ in range(WARM_UP + 3):
        recorded()
    assert number.item() == WARM_UP + 3
    assert len(caplog.records) == 1

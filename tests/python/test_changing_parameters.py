"""Parameters that are replaced while an optimizer has them: by others of the same or of another shape, in place, and with
their state, as for densification and growing vocabularies."""

from __future__ import annotations

from typing import Any, Callable

import pytest
import torch
from support import make_model, train
from torch import nn

import gradient_stabilizer as gs


def with_gradient(shape: tuple[int, ...], value: float = 1.0) -> nn.Parameter:
    parameter = nn.Parameter(torch.full(shape, value))
    parameter.grad = torch.ones(shape)
    return parameter


OWNERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: gs.optim.SGD(p, lr=0.1, momentum=0.9),
    "Adam": lambda p: gs.optim.Adam(p, lr=0.1),
    "SPAM": lambda p: gs.optim.SPAM(p, lr=0.1, transform=gs.stabilize()),
    "spike_aware_clip": lambda p: gs.optim.SGD(p, lr=0.1, transform=gs.spike_aware_clip()),
    "rows": lambda p: gs.optim.SGD(p, lr=0.1, transform=gs.stabilize(granularity="row")),
    "emulated": lambda p: gs.optim.AdamW(p, lr=0.1, backend="emulated"),
    "wrap": lambda p: gs.wrap(torch.optim.SGD([x[1] if isinstance(x, tuple) else x for x in p], lr=0.1)),
    "wrap rows": lambda p: gs.wrap(
        torch.optim.SGD([x[1] if isinstance(x, tuple) else x for x in p], lr=0.1), gs.stabilize(granularity="row")
    ),
    "transform": lambda p: gs.GradientStabilizer(p),
}


def parameters_of(optimizer: Any) -> list[nn.Parameter]:
    return optimizer.param_groups[0]["params"]


def first_step(optimizer: Any, parameter: nn.Parameter) -> torch.Tensor:
    """The parameter, and its gradient, after the step of an optimizer that knows nothing of it."""
    return torch.cat([parameter.detach().flatten(), parameter.grad.flatten()])


@pytest.mark.parametrize("named", [False, True], ids=["by position", "by name"])
@pytest.mark.parametrize("name", OWNERS)
def test_one_of_another_shape_starts_afresh_and_the_others_go_on(name: str, named: bool) -> None:
    call = lambda *tensors: [(f"p{i}", t) for i, t in enumerate(tensors)] if named else list(tensors)  # noqa: E731
    grown, stays = with_gradient((5, 3)), with_gradient((4, 2))
    optimizer = OWNERS[name](call(grown, stays))
    optimizer.step()
    for shape in ((7, 3), (2,), (7, 3)):
        replaced = with_gradient(shape)
        if "wrap" in name:  # torch's own optimizers want to be told
            optimizer.state.pop(parameters_of(optimizer)[0], None)
        parameters_of(optimizer)[0] = replaced
        stays.grad = torch.ones(4, 2)
        optimizer.step()
        fresh = with_gradient(shape)
        OWNERS[name](call(fresh)).step()
        assert torch.equal(first_step(optimizer, replaced), first_step(optimizer, fresh))
        optimizer.state_dict()
    if hasattr(optimizer, "state") and name in ("SGD", "Adam", "SPAM", "emulated"):
        assert optimizer.state[stays]["step"] == 4 and optimizer.state[replaced]["step"] == 1


@pytest.mark.parametrize("name", OWNERS)
def test_one_that_changes_its_shape_in_place_starts_afresh(name: str) -> None:
    parameter, stays = with_gradient((5, 3)), with_gradient((4, 2))
    optimizer = OWNERS[name]([parameter, stays])
    optimizer.step()
    parameter.grad = None
    parameter.data = torch.full((6, 3), 1.0)  # a larger vocabulary
    parameter.grad = torch.ones(6, 3)
    stays.grad = torch.ones(4, 2)
    optimizer.step()
    fresh = with_gradient((6, 3))
    OWNERS[name]([fresh]).step()
    assert torch.equal(first_step(optimizer, parameter), first_step(optimizer, fresh))
    optimizer.state_dict()


def test_by_position_another_tensor_of_the_same_shape_starts_afresh() -> None:
    """Also its statistics, which are of the tensor that is gone."""
    first = with_gradient((5, 3))
    optimizer = gs.optim.Adam([first], lr=0.1)
    for scale in (1.0, 7.0, 3.0):
        first.grad = torch.full((5, 3), scale)
        optimizer.step()
    second, fresh = with_gradient((5, 3)), with_gradient((5, 3))
    parameters_of(optimizer)[0] = second
    optimizer.step()
    gs.optim.Adam([fresh], lr=0.1).step()
    assert torch.equal(second, fresh)
    assert optimizer.report().tensors[0].norm == pytest.approx(1.0, rel=1e-6)


def test_compat_follows_as_well() -> None:
    parameter = with_gradient((5, 3))
    stabilizer = gs.compat.GradientStabilizer()
    stabilizer([parameter])
    parameter.grad = None
    parameter.data = torch.ones(6, 3)
    parameter.grad = torch.ones(6, 3)
    stabilizer([parameter])
    assert parameter.grad.norm().item() == pytest.approx(1.0, rel=1e-6)


@pytest.mark.skipif(not hasattr(torch.nn, "LazyLinear"), reason="no lazy modules")
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_parameters_may_get_their_shape_after_the_optimizer_is_made() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.LazyLinear(4), nn.Tanh(), nn.Linear(4, 3))
    optimizer = gs.optim.AdamW(model.parameters(), lr=1e-2)
    losses = train(model, optimizer, range(8))
    assert losses[-1] < losses[0] and optimizer.report().step == 8


class TestMovingState:
    """The ways in which programs carry state from a parameter to its successor, as with torch's own optimizers."""

    @staticmethod
    def trained(make: Callable[..., Any]) -> tuple[nn.Parameter, Any]:
        parameter = nn.Parameter(torch.arange(6.0).reshape(3, 2) / 6)
        optimizer = make([{"params": [parameter], "name": "points"}], lr=0.1)
        for step in range(4):
            parameter.grad = torch.full((3, 2), step + 0.5)
            optimizer.step()
        return parameter, optimizer

    @staticmethod
    def grow(optimizer: Any, extra: int = 2) -> nn.Parameter:
        """Rows with state of zeros behind those that there are (as 3D Gaussian splatting does)."""
        group = optimizer.param_groups[0]
        old = group["params"][0]
        stored = optimizer.state.get(old, None)
        stored["exp_avg"] = torch.cat([stored["exp_avg"], torch.zeros(extra, 2)])
        stored["exp_avg_sq"] = torch.cat([stored["exp_avg_sq"], torch.zeros(extra, 2)])
        del optimizer.state[old]
        new = nn.Parameter(torch.cat([old.detach(), torch.ones(extra, 2)]))
        group["params"][0] = new
        optimizer.state[new] = stored
        return new

    @staticmethod
    def prune(optimizer: Any) -> nn.Parameter:
        group = optimizer.param_groups[0]
        old = group["params"][0]
        stored = optimizer.state.get(old, None)
        for key in ("exp_avg", "exp_avg_sq"):
            stored[key] = stored[key][1:]
        del optimizer.state[old]
        new = nn.Parameter(old.detach()[1:].clone())
        group["params"][0] = new
        optimizer.state[new] = stored
        return new

    @pytest.mark.parametrize("change", ["grow", "prune"])
    def test_it_goes_on_as_torchs_own(self, change: str) -> None:
        results = []
        for make in (torch.optim.Adam, lambda groups, lr: gs.optim.Adam(groups, lr, transform=None)):
            _, optimizer = self.trained(make)
            parameter = getattr(self, change)(optimizer)
            for step in range(3):
                parameter.grad = torch.full_like(parameter, step + 2.0)
                optimizer.step()
            results.append((parameter.detach(), optimizer.state[parameter]))
        (own, its), (ours, mine) = results
        torch.testing.assert_close(ours, own, rtol=1e-6, atol=1e-7)
        assert int(mine["step"]) == int(its["step"]) == 7
        torch.testing.assert_close(mine["exp_avg"], its["exp_avg"], rtol=1e-6, atol=1e-7)
        # Negative control: without its state it goes elsewhere.
        _, optimizer = self.trained(lambda groups, lr: gs.optim.Adam(groups, lr, transform=None))
        getattr(self, change)(optimizer)
        parameter = optimizer.param_groups[0]["params"][0]
        optimizer.state[parameter] = {}
        for step in range(3):
            parameter.grad = torch.full_like(parameter, step + 2.0)
            optimizer.step()
        assert (parameter.detach() - own).abs().max() > 5e-3

    def test_what_becomes_of_the_state_counts(self) -> None:
        """Written in place, by .data, replaced, deleted, all of it replaced."""

        def halve(optimizer: Any, parameter: nn.Parameter) -> None:
            optimizer.state[parameter]["exp_avg"].mul_(0.5)

        def halve_data(optimizer: Any, parameter: nn.Parameter) -> None:
            optimizer.state[parameter]["exp_avg"].data.mul_(0.5)

        def replace(optimizer: Any, parameter: nn.Parameter) -> None:
            entry = optimizer.state[parameter]
            entry["exp_avg"] = torch.ones(3, 2)
            entry["step"] = torch.tensor(2.0)

        def delete(optimizer: Any, parameter: nn.Parameter) -> None:
            del optimizer.state[parameter]
            assert parameter not in optimizer.state and len(optimizer.state) == 0

        def clear(optimizer: Any, parameter: nn.Parameter) -> None:
            optimizer.state.clear()

        def assign(optimizer: Any, parameter: nn.Parameter) -> None:
            import collections

            optimizer.state = collections.defaultdict(dict)

        def after_saving(optimizer: Any, parameter: nn.Parameter) -> None:
            entry = optimizer.state[parameter]
            optimizer.state_dict()
            entry["exp_avg"].mul_(0.5)

        untouched = None
        for change in (None, halve, halve_data, replace, delete, clear, assign, after_saving):
            results = []
            for make in (torch.optim.Adam, lambda groups, lr: gs.optim.Adam(groups, lr, transform=None)):
                parameter, optimizer = self.trained(make)
                if change is not None:
                    change(optimizer, parameter)
                for step in range(2):
                    parameter.grad = torch.full((3, 2), step + 1.0)
                    optimizer.step()
                results.append(parameter.detach())
            torch.testing.assert_close(results[1], results[0], rtol=1e-6, atol=1e-7)
            if change is None:
                untouched = results[1]
            else:
                assert (results[1] - untouched).abs().max() > 1e-3, change.__name__

    def test_it_is_empty_before_the_first_step_as_torchs(self) -> None:
        model = make_model()
        optimizer = gs.optim.AdamW(model.parameters())
        assert len(optimizer.state) == 0 and not optimizer.state and optimizer.state_dict()["state"] == {}
        assert optimizer.state[model[0].weight] == {}
        train(model, optimizer, range(1))
        assert set(map(id, optimizer.state)) == set(map(id, model.parameters()))
        for parameter, entry in optimizer.state.items():
            assert {"step", "exp_avg", "exp_avg_sq"} <= set(entry) and entry["exp_avg"].shape == parameter.shape
            assert isinstance(entry["step"], torch.Tensor)

    def test_state_that_does_not_fit_is_refused_by_name(self) -> None:
        parameter, optimizer = self.trained(gs.optim.Adam)
        optimizer.state[parameter]["exp_avg"] = torch.zeros(5, 2)
        parameter.grad = torch.ones(3, 2)
        with pytest.raises(ValueError, match="group0.parameter0.*6"):
            optimizer.step()

#!/usr/bin/env python3
"""Makes data/ppo.json: advantages, moments and losses of PPO as numpy computes them, for the tests beside this file.

Written from the formulas, in float64, without any of this project's code, and in another way: advantages are explicit sums over
the rest of their episode, moments are those of all rows at once, gradients are central differences of the loss. Run it again only
to change the cases:

    python3 make_golden.py > data/ppo.json
"""
import json
import sys

import numpy as np

rng = np.random.default_rng(7)
GAMMA, LAMBDA = 0.9, 0.8


def short(values, digits=6):
    """Numbers with few digits, so that all programs start from the same ones."""
    return np.round(values, digits)


def advantages_case():
    """Two environments, six steps: one terminates at step 1 and is truncated at step 4, the other is cut at the end."""
    steps, environments = 6, 2
    rewards = short(rng.normal(size=(steps, environments)), 3)
    values = short(rng.normal(size=(steps, environments)), 3)
    terminated = np.zeros((steps, environments), dtype=int)
    truncated = np.zeros((steps, environments), dtype=int)
    terminated[1, 0] = 1
    truncated[4, 0] = 1
    # What follows an end that is not a termination, in the order of (step, environment).
    ends = {(4, 0): 5.0, (5, 0): -3.0, (5, 1): 2.5}
    result = np.zeros((steps, environments))
    for e in range(environments):
        for t in range(steps):
            total, factor = 0.0, 1.0
            for k in range(t, steps):
                last = terminated[k, e] or truncated[k, e] or k == steps - 1
                after = 0.0 if terminated[k, e] else ends[k, e] if last else values[k + 1, e]
                total += factor * (rewards[k, e] + GAMMA * after - values[k, e])
                factor *= GAMMA * LAMBDA
                if last:
                    break
            result[t, e] = total
    return {"gamma": GAMMA, "lambda": LAMBDA, "steps": steps, "environments": environments, "rewards": rewards.ravel().tolist(),
            "values": values.ravel().tolist(), "terminated": terminated.ravel().tolist(), "truncated": truncated.ravel().tolist(),
            "end_values": [ends[key] for key in sorted(ends)], "advantages": result.ravel().tolist()}


def moments_case():
    sizes = [3, 1, 5]
    rows = short(rng.normal(loc=[100.0, -3.0], scale=[2.0, 0.1], size=(sum(sizes), 2)))
    return {"batches": sizes, "rows": rows.ravel().tolist(), "mean": rows.mean(0).tolist(), "variance": rows.var(0).tolist()}


def network(x, p, name):
    h = np.tanh(x @ p[f"{name}.0.weight"].T + p[f"{name}.0.bias"])
    h = np.tanh(h @ p[f"{name}.2.weight"].T + p[f"{name}.2.bias"])
    return h @ p[f"{name}.4.weight"].T + p[f"{name}.4.bias"]


def density(p, case):
    mean, deviation = network(case["observations"], p, "actor"), np.exp(p["log_std"])
    return (-0.5 * ((case["actions"] - mean) / deviation) ** 2 - p["log_std"] - 0.5 * np.log(2 * np.pi)).sum(1)


def loss(p, case, rule):
    ratio = np.exp(density(p, case) - case["log_densities"])
    c = rule["ratio_clip"]
    policy = -np.mean(np.minimum(ratio * case["advantages"], np.clip(ratio, 1 - c, 1 + c) * case["advantages"]))
    value = network(case["observations"], p, "critic")[:, 0]
    errors = (case["targets"] - value) ** 2
    if rule["value_clip"] > 0:
        kept = case["values"] + np.clip(value - case["values"], -rule["value_clip"], rule["value_clip"])
        errors = np.maximum(errors, (case["targets"] - kept) ** 2)
    entropy = np.sum(0.5 * np.log(2 * np.pi * np.e) + p["log_std"])
    return policy + rule["value_coefficient"] * errors.mean() - rule["entropy_coefficient"] * entropy


def loss_case():
    observations, actions, width, rows = 3, 2, 4, 6
    p = {}
    for name, outputs in (("actor", actions), ("critic", 1)):
        for place, inputs, size in ((0, observations, width), (2, width, width), (4, width, outputs)):
            p[f"{name}.{place}.weight"] = short(rng.normal(size=(size, inputs)))
            p[f"{name}.{place}.bias"] = short(rng.normal(size=size))
    p["log_std"] = np.array([-0.5, 0.25])
    case = {"observations": short(rng.normal(size=(rows, observations))), "actions": short(rng.normal(size=(rows, actions)))}
    # Ratios from far below to far above the clips, with advantages of both signs; none at a clip, where there is no derivative.
    ratios = np.array([0.5, 0.93, 1.05, 1.5, 0.6, 1.7])
    case["log_densities"] = short(density(p, case) - np.log(ratios))
    case["advantages"] = np.array([2.0, -1.5, 0.75, 3.0, -2.5, -0.5])
    value = network(case["observations"], p, "critic")[:, 0]
    case["values"] = short(value + np.array([0.0, 0.1, 0.5, -0.5, 0.5, -0.5]))
    case["targets"] = short(value + np.array([1.0, -1.0, 1.0, 1.0, -1.0, -1.0]))
    rules = [{"ratio_clip": 0.2, "value_clip": 0.2, "value_coefficient": 0.25, "entropy_coefficient": 0.0},
             {"ratio_clip": 0.1, "value_clip": 0.0, "value_coefficient": 0.5, "entropy_coefficient": 0.01}]
    results = []
    for rule in rules:
        gradients = {}
        for key, value in p.items():
            gradient = np.zeros_like(value)
            for place in np.ndindex(value.shape):
                kept = value[place]
                sides = []
                for step in (1e-5, -1e-5):
                    value[place] = kept + step
                    sides.append(loss(p, case, rule))
                value[place] = kept
                gradient[place] = (sides[0] - sides[1]) / 2e-5
            gradients[key] = gradient.ravel().tolist()
        results.append({"rule": rule, "loss": loss(p, case, rule), "gradients": gradients})
    return {"shape": {"observation_size": observations, "action_size": actions, "width": width},
            "parameters": {key: value.ravel().tolist() for key, value in p.items()},
            "minibatch": {key: value.ravel().tolist() for key, value in case.items()}, "results": results}


json.dump({"advantages": advantages_case(), "moments": moments_case(), "loss": loss_case()}, sys.stdout, indent=1)
sys.stdout.write("\n")
